#include "rebound/probe/scr.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/probe/task_lines.h"
#include "rebound/probe/tpp.h"

namespace rebound {
namespace {

constexpr uint64_t kQuadrantStream = 44;
constexpr double kLeastGap = 0.001;  // SAEBench's
constexpr std::array kSides = {false, true};

struct ScrLine {
  LabelledText text;
  bool is_spurious = false;
};

ScrLine read_scr_line(const std::string& line, const std::string& where, int64_t number) {
  const Json json = parse_json(line, where);
  ObjectReader fields(json, where);
  const auto attribute = [&](const char* key) {
    const auto value = fields.get<int64_t>(key);
    require<DataError>(
        value == 0 || value == 1, where, ": ", key, ": got ", value, ", expected 0 or 1");
    return value == 1;
  };
  ScrLine row;
  row.text.id = fields.get<std::string>("id", std::to_string(number));
  row.text.text = fields.get<std::string>("text");
  row.text.is_positive = attribute("label");
  row.is_spurious = attribute("spurious");
  row.text.group = fields.get<std::string>("group", "line " + std::to_string(number));
  const auto split = fields.get<std::string>("split");
  for (const char* key : {"label_name", "spurious_name", "source"})
    fields.get<std::string>(key, "");
  fields.finish();
  require<DataError>(split == "train" || split == "test",
                     where,
                     ": split: got ",
                     Json(split).dump().substr(0, 80),
                     ", expected train or test");
  row.text.split = split == "train" ? Split::kTrain : Split::kTest;
  require<DataError>(
      row.text.text.find_first_not_of(" \t\r\n") != std::string::npos, where, ": text is empty");
  return row;
}

// As many texts of each combination; `is_agreeing`: of the two whose attributes agree alone.
// is_positive is the attribute asked for.
OneAgainstRest balanced(
    const ScrTask& task, Split split, bool is_agreeing, bool of_label, uint64_t seed) {
  std::vector<std::vector<int64_t>> parts;
  std::vector<bool> positive;
  for (const bool label : kSides) {
    for (const bool spurious : kSides) {
      if (is_agreeing && label != spurious) continue;
      parts.push_back(task.of(label, spurious, split));
      positive.push_back(of_label ? label : spurious);
      Rng rng({seed,
               kQuadrantStream,
               static_cast<uint64_t>(split),
               label ? 1u : 0u,
               spurious ? 1u : 0u});
      rng.shuffle(parts.back());
    }
  }
  size_t least = parts.front().size();
  for (const auto& part : parts) least = std::min(least, part.size());
  OneAgainstRest out;
  for (size_t i = 0; i < parts.size(); ++i) {
    out.place.insert(
        out.place.end(), parts[i].begin(), parts[i].begin() + static_cast<std::ptrdiff_t>(least));
    out.is_positive.resize(out.place.size(), positive[i]);
  }
  return out;
}

class ScrRun {
 public:
  ScrRun(const ScrTask& task,
         const ActivationCache& cache,
         const Sae& sae,
         const ScrOptions& options)
      : task_(task),
        sae_(sae),
        options_(options),
        pooled_(pool_features(cache, {Pooler::Kind::kMean}, &sae)) {
    biased_ = fit(texts(Split::kTrain, /*is_agreeing=*/true, /*of_label=*/true));
    for (const bool of_label : kSides)
      clean_[of_label] = fit(texts(Split::kTrain, false, of_label));
  }

  OneAgainstRest texts(Split split, bool is_agreeing, bool of_label) const {
    return balanced(task_, split, is_agreeing, of_label, options_.seed);
  }

  // Removes one attribute, scores the other.
  std::vector<ScrRow> direction(bool removes_label, const std::vector<int64_t>& counts) const {
    const OneAgainstRest removed = texts(Split::kTrain, false, removes_label);
    const OneAgainstRest test = texts(Split::kTest, false, !removes_label);
    const at::Tensor code = pooled_.code.index_select(0, at::tensor(removed.place, at::kLong));
    const at::Tensor effects =
        absolute_effects(code, removed.is_positive, weight_of(clean_[removes_label]), sae_);
    ScrRow row{.removed = removes_label ? "label" : "spurious"};
    row.clean = pooled_accuracy(clean_[!removes_label], pooled_.residual, test);
    row.original = pooled_accuracy(biased_, pooled_.residual, test);
    std::vector<ScrRow> rows;
    for (const int64_t n : counts) {
      const Sae::Features features = top_effects(effects, n);
      row.n = n;
      row.ablated = static_cast<int64_t>(features.size());
      row.changed = pooled_accuracy(biased_, ablated_means(sae_, pooled_, features), test);
      row.scr = scr_of(row.clean, row.original, row.changed);
      rows.push_back(row);
    }
    return rows;
  }

 private:
  LinearModel fit(const OneAgainstRest& texts) const {
    std::vector<std::string> groups;
    for (const int64_t i : texts.place) groups.push_back(task_.texts[static_cast<size_t>(i)].group);
    return fit_dense(pooled_samples(pooled_.residual, texts), groups, options_.probe).model;
  }

  const ScrTask& task_;
  const Sae& sae_;
  const ScrOptions& options_;
  PooledFeatures pooled_;
  LinearModel biased_;
  std::array<LinearModel, 2> clean_;  // of the spurious attribute, of the label
};

}  // namespace

std::vector<int64_t> ScrTask::of(bool label, bool spurious, Split split) const {
  std::vector<int64_t> places;
  for (size_t i = 0; i < texts.size(); ++i) {
    const bool is_here =
        texts[i].split == split && texts[i].is_positive == label && is_spurious[i] == spurious;
    if (is_here) places.push_back(static_cast<int64_t>(i));
  }
  return places;
}

void ScrTask::validate() const {
  for (const Split split : {Split::kTrain, Split::kTest}) {
    for (const bool label : kSides) {
      for (const bool spurious : kSides) {
        require<DataError>(!of(label, spurious, split).empty(),
                           "task ",
                           name,
                           ": got no text of split ",
                           to_string(split),
                           " with label ",
                           label,
                           " and spurious ",
                           spurious,
                           ", expected some of all four combinations");
      }
    }
  }
}

ScrTask make_scr_task(std::string name,
                      std::vector<LabelledText> texts,
                      std::vector<bool> is_spurious,
                      bool is_chat) {
  require<DataError>(texts.size() == is_spurious.size(),
                     "task ",
                     name,
                     ": got ",
                     is_spurious.size(),
                     " second labels, expected ",
                     texts.size());
  ScrTask task{.name = std::move(name), .is_chat = is_chat, .texts = {}, .is_spurious = {}};
  std::set<std::string> train_groups, seen;
  for (const LabelledText& text : texts) {
    if (text.split == Split::kTrain) train_groups.insert(text.group);
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const bool is_leak = texts[i].split != Split::kTrain && train_groups.count(texts[i].group) > 0;
    if (is_leak || !seen.insert(texts[i].text).second) {
      ++task.dropped;
      continue;
    }
    task.texts.push_back(std::move(texts[i]));
    task.is_spurious.push_back(is_spurious[i]);
  }
  task.validate();
  return task;
}

ScrTask read_scr_task(const std::filesystem::path& path) {
  std::vector<LabelledText> texts;
  std::vector<bool> is_spurious;
  for (ScrLine& row : read_task_lines<ScrLine>(path, read_scr_line)) {
    texts.push_back(std::move(row.text));
    is_spurious.push_back(row.is_spurious);
  }
  return make_scr_task(
      path.stem().string(), std::move(texts), std::move(is_spurious), /*is_chat=*/false);
}

ScrTask first_of_each(const ScrTask& task, int64_t most) {
  require<ConfigError>(
      most >= 0, "texts of a combination: got ", most, ", expected 0 (all) or more");
  if (most == 0) return task;
  ScrTask out{.name = task.name,
              .is_chat = task.is_chat,
              .texts = {},
              .is_spurious = {},
              .dropped = task.dropped};
  std::map<std::array<int, 3>, int64_t> taken;
  for (size_t i = 0; i < task.texts.size(); ++i) {
    const std::array key = {static_cast<int>(task.texts[i].split),
                            static_cast<int>(task.texts[i].is_positive),
                            static_cast<int>(task.is_spurious[i])};
    if (taken[key]++ >= most) continue;
    out.texts.push_back(task.texts[i]);
    out.is_spurious.push_back(task.is_spurious[i]);
  }
  return out;
}

Json ScrRow::to_json() const {
  return {{"removed", removed},
          {"n", n},
          {"ablated", ablated},
          {"accuracy_clean", clean},
          {"accuracy_original", original},
          {"accuracy_changed", changed},
          {"scr", scr},
          {"is_reported", is_reported}};
}

double scr_of(double clean, double original, double changed) {
  return clean - original < kLeastGap ? 0 : (changed - original) / (clean - original);
}

ScrReport run_scr(const ScrTask& task,
                  const ActivationCache& cache,
                  const Sae& sae,
                  const ScrOptions& options) {
  task.validate();
  const std::vector<int64_t> counts = usable_counts(options.n, kTppN, sae.d_sae());
  require_linear_ablation(sae);
  require<DataError>(cache.size() == static_cast<int64_t>(task.texts.size()),
                     "scr: activations of ",
                     cache.size(),
                     " texts, expected ",
                     task.texts.size());
  const ScrRun runner(task, cache, sae, options);
  ScrReport report;
  report.n_train = static_cast<int64_t>(runner.texts(Split::kTrain, false, true).place.size());
  report.n_train_biased =
      static_cast<int64_t>(runner.texts(Split::kTrain, true, true).place.size());
  report.n_test = static_cast<int64_t>(runner.texts(Split::kTest, false, true).place.size());
  std::vector<ScrRow> first = runner.direction(/*removes_label=*/false, counts);
  std::vector<ScrRow> second = runner.direction(/*removes_label=*/true, counts);
  auto& reported = second.front().original < first.front().original ? second : first;
  for (ScrRow& row : reported) {
    row.is_reported = true;
    report.scores.emplace_back(row.n, row.scr);
  }
  report.rows = std::move(first);
  report.rows.insert(report.rows.end(), second.begin(), second.end());
  return report;
}

}  // namespace rebound
