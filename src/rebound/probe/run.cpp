#include "rebound/probe/run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/stats/logistic_regression.h"
#include "rebound/stats/roc.h"

namespace rebound {
namespace {

using Scores = std::map<Split, std::vector<double>>;

Samples samples_of(const ProbeTask& task, const at::Tensor& features, Split split) {
  const std::vector<int64_t> places = task.of_split(split);
  Samples samples = {.d = features.size(1)};
  const at::Tensor all = features.to(at::kFloat).contiguous();
  const float* values = all.data_ptr<float>();
  samples.x.reserve(places.size() * static_cast<size_t>(samples.d));
  for (const int64_t i : places) {
    samples.x.insert(samples.x.end(), values + i * samples.d, values + (i + 1) * samples.d);
    samples.is_positive.push_back(task.texts[static_cast<size_t>(i)].is_positive);
  }
  return samples;
}

std::vector<std::string> groups_of(const ProbeTask& task, Split split) {
  std::vector<std::string> groups;
  for (const int64_t i : task.of_split(split))
    groups.push_back(task.texts[static_cast<size_t>(i)].group);
  return groups;
}

// Labels and resampling clusters of each split that the task has.
struct Splits {
  std::vector<Split> all;
  std::map<Split, std::vector<bool>> labels;
  std::map<Split, std::vector<int64_t>> clusters;
};

Splits splits_of(const ProbeTask& task) {
  Splits out;
  for (const Split split : kSplits) {
    const std::vector<int64_t> places = task.of_split(split);
    if (places.empty()) continue;
    out.all.push_back(split);
    std::map<std::string, int64_t> number;
    for (const int64_t i : places) {
      const LabelledText& text = task.texts[static_cast<size_t>(i)];
      out.labels[split].push_back(text.is_positive);
      const auto next = static_cast<int64_t>(number.size());
      out.clusters[split].push_back(number.emplace(text.group, next).first->second);
    }
  }
  return out;
}

class ProbeRun {
 public:
  ProbeRun(const ProbeTask& task, const ProbeOptions& options)
      : task_(task), options_(options), splits_(splits_of(task)) {}

  Scores add_dense(const std::string& name, const at::Tensor& features) {
    const DenseProbe probe = fit_dense(samples_of(task_, features, Split::kTrain),
                                       groups_of(task_, Split::kTrain),
                                       options_.dense);
    if (name == "dense") report_.dense = probe;
    Scores scores;
    for (const Split split : splits_.all) {
      scores[split] = probe.model.scores(samples_of(task_, features, split).x);
      ProbeRow row = row_of(split, scores[split]);
      row.probe = name;
      row.lambda = probe.lambda;
      report_.rows.push_back(std::move(row));
    }
    return scores;
  }

  void add_sparse(const at::Tensor& code, const std::vector<int64_t>& ks) {
    std::map<Split, Samples> samples;
    for (const Split split : splits_.all) samples[split] = samples_of(task_, code, split);
    const Samples& train = samples.at(Split::kTrain);
    const int64_t most = *std::max_element(ks.begin(), ks.end());
    add_selection("mean_difference", largest_mean_differences(train, most), ks, samples);
    Samples scaled = train;
    standardiser_of(train).apply(scaled.x);
    const auto path = fit_l1_path(scaled, {.max_nonzero = most, .tolerance = 1e-4});
    add_selection("l1", order_of_entry(path, most), ks, samples);
  }

  void add_deficits(const Scores& dense, const Scores& reconstruction) {
    for (const Split split : splits_.all) {
      report_.deficits.push_back({split,
                                  auroc_difference(dense.at(split),
                                                   reconstruction.at(split),
                                                   splits_.labels.at(split),
                                                   bootstrap_options(split))});
    }
  }

  ProbeReport report() && { return std::move(report_); }

 private:
  BootstrapOptions bootstrap_options(Split split) const {
    return {.clusters = splits_.clusters.at(split),
            .draws = options_.bootstrap_draws,
            .seed = options_.seed};
  }

  ProbeRow row_of(Split split, const std::vector<double>& scores) const {
    const std::vector<bool>& labels = splits_.labels.at(split);
    ProbeRow row;
    row.split = split;
    row.n = static_cast<int64_t>(labels.size());
    row.auroc = auroc_interval(scores, labels, bootstrap_options(split));
    row.tpr_at_1pct_fpr = tpr_at_fpr(scores, labels, 0.01);
    return row;
  }

  void add_selection(const std::string& selection,
                     const std::vector<int64_t>& latents,
                     const std::vector<int64_t>& ks,
                     const std::map<Split, Samples>& samples) {
    for (const int64_t k : ks) {
      const auto count = std::min<int64_t>(k, static_cast<int64_t>(latents.size()));
      if (count == 0) continue;  // no latent tells the classes apart
      const std::vector<int64_t> chosen(latents.begin(), latents.begin() + count);
      const LinearModel model = fit_columns(samples.at(Split::kTrain), chosen);
      for (const Split split : splits_.all) {
        ProbeRow row = row_of(split, model.scores(samples.at(split).columns(chosen).x));
        row.probe = "sae";
        row.k = k;
        row.selection = selection;
        row.latents = chosen;
        row.lambda = kRefitLambda;
        report_.rows.push_back(std::move(row));
      }
    }
  }

  const ProbeTask& task_;
  const ProbeOptions& options_;
  Splits splits_;
  ProbeReport report_;
};

std::vector<int64_t> usable_k(const ProbeTask& task, const ProbeOptions& options, int64_t latents) {
  const auto train = static_cast<int64_t>(task.of_split(Split::kTrain).size());
  std::vector<int64_t> usable;
  for (const int64_t k : options.k.empty() ? kDefaultK : options.k) {
    const bool is_possible = k >= 1 && k <= train && k <= latents;
    require<ConfigError>(is_possible || options.k.empty(),
                         "k: got ",
                         k,
                         ", expected 1 to ",
                         std::min(train, latents),
                         " (",
                         train,
                         " training texts, ",
                         latents,
                         " latents)");
    if (is_possible) usable.push_back(k);
  }
  std::sort(usable.begin(), usable.end());
  usable.erase(std::unique(usable.begin(), usable.end()), usable.end());
  return usable;
}

Json interval_json(const Estimate& estimate) {
  return {{"auroc", estimate.value}, {"ci_low", estimate.low}, {"ci_high", estimate.high}};
}

}  // namespace

Json ProbeRow::to_json() const {
  Json json = interval_json(auroc);
  json.update({{"probe", probe},
               {"k", k ? Json(*k) : Json()},
               {"selection", selection.empty() ? Json() : Json(selection)},
               {"split", to_string(split)},
               {"n", n},
               {"tpr_at_1pct_fpr", tpr_at_1pct_fpr},
               {"lambda", lambda}});
  if (probe == "sae") json["latents"] = latents;
  return json;
}

Json ProbeDeficit::to_json() const {
  Json json = interval_json(auroc);
  json["split"] = to_string(split);
  return json;
}

ProbeReport run_probes(const ProbeTask& task,
                       const PooledFeatures& features,
                       const ProbeOptions& options) {
  const auto n = static_cast<int64_t>(task.texts.size());
  check_shape("residual features", features.residual, {{"texts", n}, {"d_model"}});
  std::vector<int64_t> ks;
  if (features.has_sae()) {
    check_shape("code features", features.code, {{"texts", n}, {"d_sae"}});
    ks = usable_k(task, options, features.code.size(1));
  }
  ProbeRun runner(task, options);
  const Scores dense = runner.add_dense("dense", features.residual);
  if (features.has_sae()) {
    const Scores reconstruction = runner.add_dense("reconstruction", features.reconstruction);
    runner.add_dense("error", features.error);
    runner.add_sparse(features.code, ks);
    runner.add_deficits(dense, reconstruction);
  }
  return std::move(runner).report();
}

}  // namespace rebound
