#include "rebound/audit/answer_runner.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "rebound/audit/answer_cost.h"
#include "rebound/audit/answer_counts.h"
#include "rebound/audit/answer_defence.h"
#include "rebound/audit/answer_flips.h"
#include "rebound/audit/answer_path.h"
#include "rebound/audit/answer_rows.h"
#include "rebound/audit/answer_summarise.h"
#include "rebound/audit/defence_file.h"
#include "rebound/audit/environment.h"
#include "rebound/audit/run_folder.h"
#include "rebound/audit/run_progress.h"
#include "rebound/audit/utility.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/base/rng.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/device.h"
#include "rebound/model/precision_gap.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kCostContexts = 8;

// "" where the object has no such text.
std::string text_field(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>()
                                                                       : "";
}

// Of everything that the spec takes from files.
Json answer_file_hashes(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  Json files = Json::object();
  files["model"] = subject.model_sha256.empty() ? hashed_file(find_model(spec.model))
                                                : Json(subject.model_sha256);
  const auto add = [&](const std::string& name, const fs::path& path) {
    files[name] = hashed_file(path);
  };
  if (spec.defence.kind == "features") {
    for (const std::string& sae : spec.defence.saes) add("defence.saes " + sae, find_sae(sae));
  }
  for (const std::string& sae : spec.attribution.saes)
    add("attribution.saes " + sae, find_sae(sae));
  for (const Json& edit : spec.defence.edits) {
    const std::string sae = text_field(edit, "sae"), direction = text_field(edit, "direction");
    if (!sae.empty()) add("defence.edits " + sae, find_sae(sae));
    if (!direction.empty()) {
      const std::string file = direction.substr(0, direction.find('#'));
      add("defence.edits " + file, file);
    }
  }
  const auto known = request_set_names();
  for (const std::string& set : spec.behaviour.requests) {
    if (std::find(known.begin(), known.end(), set) == known.end())
      add("behaviour.requests " + set, set);
  }
  return files;
}

class AnswerRun {
 public:
  AnswerRun(const AnswerAuditSpec& spec,
            Store store,
            const fs::path& folder,
            const std::function<bool()>& is_interrupted)
      : spec_(spec), store_(std::move(store)), folder_(folder), is_interrupted_(is_interrupted) {}

  AuditSummary finish() {
    const auto started = std::chrono::steady_clock::now();
    guard_spec(
        store_,
        to_json(spec_),
        [](const Json& kept) { return to_json(read_answer_spec(kept, "run.sqlite")); },
        folder_);
    subject_ = load_answer_subject(spec_);
    guard_files(store_, answer_file_hashes(spec_, subject_), folder_);
    say(concat("about ",
               std::ceil(expected_minutes(spec_, static_cast<int64_t>(subject_.test.size()))),
               " minutes on 2 cores for all of it; interrupt and --resume as you like"));
    choose_defence();
    find_flips();
    const std::vector<AnswerRow> rows = answer_rows(spec_);
    run_rows(rows);
    attribute();
    if (!spec_.feature_counts.empty()) {
      sweep_feature_counts({spec_, subject_, defence_, base_answers_}, store_, [&] {
        check_interrupt(is_interrupted_, folder_);
      });
    }
    AuditSummary summary = make_summary(rows);
    finish_run(summary, started, folder_);
    return summary;
  }

 private:
  // The sweep is not repeated on resume: its choice is kept, and the same strength gives the same
  // clamps.
  void choose_defence() {
    if (const auto known = store_.artefact("choice")) {
      defence_ = restore_answer_defence(spec_, subject_, parse_json(*known, "run.sqlite"));
    } else {
      defence_ = choose_answer_defence(spec_, subject_);
      store_.put_artefact("choice", defence_.choice.dump());
    }
    if (defence_.design) save_directions(*defence_.design, folder_ / kDirectionsFile);
    if (!store_.artefact("utility")) {
      const Json cost = measure_cost_of_hooks(
          *subject_.model, *subject_.tokenizer, defence_.plan->hooks(), kCostContexts);
      store_.put_artefact("utility", cost.dump());
    }
  }

  void find_flips() {
    say(concat("answering ", subject_.test.size(), " requests with and without the defence"));
    base_answers_ = answer_all(subject_, subject_.test, {}, spec_.max_new_tokens);
    AnswerFlips found =
        find_answer_flips(subject_, base_answers_, *defence_.plan, spec_.max_new_tokens);
    const std::vector<StoredExample> kept = store_.examples();
    if (kept.empty()) {
      store_.put_examples(found.examples);
    } else {
      found = as_stored(std::move(found), kept, (folder_ / "run.sqlite").string());
    }
    flips_ = std::move(found.refused);
    n_broken_ = found.n_broken;
    say(concat(flips_.size(),
               " of ",
               subject_.test.size(),
               " requests are refused flips, ",
               n_broken_,
               " are broken ones"));
  }

  // Batches are cut from all flips in order; a foreign answer is that of a flip of another cluster.
  AnswerBatch batch_of(size_t first) const {
    AnswerBatch batch{&subject_, &spec_, defence_.plan, {}, {}};
    batch.first_flip = static_cast<int64_t>(first);
    batch.store = &store_;
    const size_t end = std::min(flips_.size(), first + static_cast<size_t>(spec_.batch));
    batch.flips.assign(flips_.begin() + static_cast<std::ptrdiff_t>(first),
                       flips_.begin() + static_cast<std::ptrdiff_t>(end));
    for (int64_t draw = 0; draw < spec_.controls.inject_answers && flips_.size() > 1; ++draw) {
      std::vector<std::vector<int64_t>> answers;
      for (const AnswerFlip& flip : batch.flips) {
        Rng rng({spec_.seed, static_cast<uint64_t>(flip.index), static_cast<uint64_t>(draw), 72});
        const AnswerFlip* other = &flip;
        for (int attempt = 0; attempt < 50 && is_related(*other, flip); ++attempt) {
          other = &flips_[static_cast<size_t>(rng.below(static_cast<int64_t>(flips_.size())))];
        }
        answers.push_back(other->base_answer);
      }
      batch.foreign_answers.push_back(std::move(answers));
    }
    return batch;
  }

  // Clusters are numbered within their set.
  static bool is_related(const AnswerFlip& a, const AnswerFlip& b) {
    return a.index == b.index ||
           (a.posed->set == b.posed->set && a.posed->request.cluster == b.posed->request.cluster);
  }

  void run_rows(const std::vector<AnswerRow>& rows) {
    const size_t width = static_cast<size_t>(spec_.batch),
                 n_batches = (flips_.size() + width - 1) / width;
    RunPlan plan{.rows = {}, .batches = static_cast<int64_t>(n_batches)};
    for (const AnswerRow& row : rows) plan.rows.push_back(row.head.name);
    put_plan(store_, plan);
    Progress progress("audit", plan.n_parts());
    int64_t done = 0;
    for (const AnswerRow& row : rows) {
      for (size_t b = 0; b < n_batches; ++b) {
        progress.update(done++, row.head.name);
        if (store_.is_done(row.head.name, static_cast<int64_t>(b))) continue;
        check_interrupt(is_interrupted_, folder_);
        FinishedBatch finished = row.run(batch_of(b * width));
        finished.row = row.head.name;
        finished.batch = static_cast<int64_t>(b);
        store_.put_batch(finished);
      }
    }
    progress.update(done, "done");
  }

  void attribute() {
    if (!is_attributed()) return;
    dictionaries_ = load_path_dictionaries(spec_, *defence_.plan, subject_);
    Progress progress("attribution", n_batches());
    for (int64_t b = 0; b < n_batches(); ++b) {
      progress.update(b, spec_.headline().name());
      const std::string name = concat("path/", b);
      if (store_.artefact(name)) continue;
      check_interrupt(is_interrupted_, folder_);
      const AnswerBatch batch = batch_of(static_cast<size_t>(b * spec_.batch));
      store_.put_artefact(name, attribute_answers(batch, store_, dictionaries_).dump());
    }
    progress.update(n_batches(), "done");
  }

  // A suffix adds nothing to an activation that could be taken apart.
  bool is_attributed() const { return spec_.attribution.is_on && !spec_.headline().is_at_input(); }

  int64_t n_batches() const {
    return (static_cast<int64_t>(flips_.size()) + spec_.batch - 1) / spec_.batch;
  }

  AuditSummary make_summary(const std::vector<AnswerRow>& rows) {
    AnswerSummaryInput input{spec_,
                             store_,
                             {},
                             {},
                             static_cast<int64_t>(subject_.test.size()),
                             static_cast<int64_t>(flips_.size()),
                             n_broken_};
    for (const AnswerRow& row : rows) input.heads.push_back(row.head);
    input.clusters = cluster_numbers(subject_.test);
    AuditSummary summary = summarise_answers(input);
    summary.behaviour = spec_.behaviour.kind;
    summary.model = subject_.model_name;
    for (const std::string& name : defence_.sae_names)
      summary.sae += (summary.sae.empty() ? "" : ", ") + name;
    if (summary.sae.empty()) summary.sae = "no SAE";
    summary.defence = {{"clamps", defence_.plan->to_json()}};
    if (const Json hashes = sae_hashes(spec_); !hashes.empty())
      summary.defence["sae_sha256"] = hashes;
    if (!defence_.choice.is_null()) summary.defence["choice"] = defence_.choice;
    if (is_attributed()) {
      summary.attribution =
          summarise_answer_paths(store_, n_batches(), *defence_.plan, dictionaries_);
    }
    if (!spec_.feature_counts.empty())
      summary.headline["feature_counts"] = summarise_feature_counts(spec_, store_);
    if (const auto utility = store_.artefact("utility")) {
      summary.controls["utility"] = parse_json(*utility, "run.sqlite");
    }
    summary.environment = describe_build();
    summary.environment["dtype"] = spec_.dtype;
    summary.environment["device"] = describe_device(subject_.model->device());
    if (subject_.search != subject_.model) {
      summary.environment["precision"] =
          precision_gap(*subject_.search, *subject_.model, subject_.test.front().ids).to_json();
    }
    summary.environment["seed"] = spec_.seed;
    summary.environment["model_sha256"] = subject_.model_sha256;
    return summary;
  }

  AnswerAuditSpec spec_;
  Store store_;
  fs::path folder_;
  const std::function<bool()>& is_interrupted_;
  AnswerSubject subject_;
  ChosenDefence defence_;
  PathDictionaries dictionaries_;
  std::vector<std::vector<int64_t>> base_answers_;  // of every test request
  std::vector<AnswerFlip> flips_;
  int64_t n_broken_ = 0;
};

}  // namespace

AuditSummary run_answer_audit(const AnswerAuditSpec& spec,
                              const fs::path& folder,
                              const std::function<bool()>& is_interrupted) {
  spec.validate();
  return run_in_new_folder(folder, to_json(spec), [&](Store store) {
    return AnswerRun(spec, std::move(store), folder, is_interrupted).finish();
  });
}

AuditSummary resume_answer_audit(const fs::path& folder,
                                 const std::function<bool()>& is_interrupted) {
  const AnswerAuditSpec spec =
      read_answer_spec(read_json_file(folder / "spec.json"), (folder / "spec.json").string());
  return AnswerRun(spec, open_or_create_store(folder), folder, is_interrupted).finish();
}

}  // namespace rebound
