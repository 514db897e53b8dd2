#include "rebound/probe/monitor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/probe/dense_probe.h"
#include "rebound/stats/intervals.h"
#include "rebound/stats/roc.h"

namespace rebound {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr Estimate kUnknown = {kNan, kNan, kNan};

Samples train_samples(const ProbeTask& task, const at::Tensor& features) {
  check_shape("features", features, {{"texts", static_cast<int64_t>(task.texts.size())}, {"d"}});
  const std::vector<int64_t> places = task.of_split(Split::kTrain);
  const at::Tensor chosen =
      features.index_select(0, at::tensor(places, at::kLong)).to(at::kFloat).contiguous();
  const float* values = chosen.data_ptr<float>();
  Samples samples = {.d = chosen.size(1), .x = {values, values + chosen.numel()}};
  for (const int64_t i : places) {
    samples.is_positive.push_back(task.texts[static_cast<size_t>(i)].is_positive);
  }
  return samples;
}

double share_above(const std::vector<double>& scores, double threshold) {
  if (scores.empty() || std::isnan(threshold)) return kNan;
  const auto above =
      std::count_if(scores.begin(), scores.end(), [&](double score) { return score > threshold; });
  return static_cast<double>(above) / static_cast<double>(scores.size());
}

Estimate above_interval(const std::vector<double>& scores,
                        double threshold,
                        const BootstrapOptions& options) {
  if (std::isnan(threshold)) return kUnknown;
  std::vector<double> hits;
  for (const double score : scores) hits.push_back(score > threshold ? 1 : 0);
  Estimate estimate = bootstrap_mean(hits, options);
  const auto count = static_cast<int64_t>(std::count(hits.begin(), hits.end(), 1.0));
  const Interval exact = wilson(count, static_cast<int64_t>(hits.size()));
  estimate.low = std::min(estimate.low, exact.low);
  estimate.high = std::max(estimate.high, exact.high);
  return estimate;
}

Estimate auroc_of(const MonitorTexts& texts,
                  const MonitorScores& state,
                  const BootstrapOptions& options) {
  if (state.other.empty()) return kUnknown;
  std::vector<double> scores = state.own;
  scores.insert(scores.end(), state.other.begin(), state.other.end());
  std::vector<bool> labels(state.own.size(), texts.is_own_positive);
  labels.resize(scores.size(), !texts.is_own_positive);
  BootstrapOptions both = options;
  // Clusters of the two sets are apart, whatever their numbers.
  for (const int64_t cluster : texts.own_clusters) both.clusters.push_back(2 * cluster);
  for (const int64_t cluster : texts.other_clusters) both.clusters.push_back(2 * cluster + 1);
  return auroc_interval(scores, labels, both);
}

Json json_of(const Estimate& estimate) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(); };
  return {{"value", number(estimate.value)},
          {"ci_low", number(estimate.low)},
          {"ci_high", number(estimate.high)}};
}

}  // namespace

std::vector<double> MonitorProbe::scores(const at::Tensor& resid,
                                         const at::Tensor& is_counted) const {
  const at::NoGradGuard no_grad;
  return monitor_scores(
      fitted, sae ? sae->encode(resid.to(at::kFloat), latents) : resid, is_counted);
}

std::vector<MonitorProbe> fit_monitors(const ProbeTask& task,
                                       const PooledFeatures& features,
                                       const FittedProbe& place,
                                       std::shared_ptr<const Sae> sae,
                                       int64_t k) {
  std::vector<std::string> groups;
  for (const int64_t i : task.of_split(Split::kTrain))
    groups.push_back(task.texts[static_cast<size_t>(i)].group);
  MonitorProbe dense{.name = "dense", .fitted = place};
  dense.fitted.model = fit_dense(train_samples(task, features.residual), groups).model;
  std::vector<MonitorProbe> probes = {std::move(dense)};
  if (!sae) return probes;
  require<ConfigError>(
      k >= 1 && k <= sae->d_sae(), "k: got ", k, ", expected 1 to ", sae->d_sae(), " latents");
  const Samples codes = train_samples(task, features.code);
  MonitorProbe sparse{.name = "sae", .fitted = place, .sae = std::move(sae)};
  sparse.latents = largest_mean_differences(codes, k);
  sparse.fitted.model = fit_columns(codes, sparse.latents);
  probes.push_back(std::move(sparse));
  return probes;
}

Json MonitorRow::to_json() const {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(); };
  return {{"probe", probe},
          {"window", window},
          {"state", state},
          {"auroc", json_of(auroc)},
          {"mean_score", json_of(mean)},
          {"above_threshold", json_of(above)},
          {"other_above_threshold", number(other_above)},
          {"threshold", number(threshold)},
          {"score_minus_base", json_of(shift)},
          {"distance_to_base", json_of(distance)}};
}

double threshold_at_fpr(std::vector<double> negatives, double max_fpr) {
  require<DataError>(!negatives.empty(), "threshold: got no negative, expected at least one");
  std::sort(negatives.begin(), negatives.end(), std::greater<>());
  const auto allowed =
      static_cast<size_t>(std::floor(max_fpr * static_cast<double>(negatives.size()) + 1e-9));
  return negatives[std::min(allowed, negatives.size() - 1)];
}

std::vector<MonitorRow> monitor_rows(const std::string& probe,
                                     const std::string& window,
                                     const MonitorTexts& texts,
                                     const std::vector<MonitorScores>& states,
                                     const BootstrapOptions& options) {
  require<ConfigError>(!states.empty(), "monitor: got no state, expected at least the base");
  const MonitorScores& base = states.front();
  const std::vector<double>& negatives = texts.is_own_positive ? base.other : base.own;
  const double threshold = negatives.empty() ? kNan : threshold_at_fpr(negatives);
  BootstrapOptions own = options;
  own.clusters = texts.own_clusters;
  std::vector<MonitorRow> rows;
  for (const MonitorScores& state : states) {
    const bool fits = state.own.size() == base.own.size() &&
                      state.distance.size() == base.own.size() &&
                      state.own.size() == texts.own_clusters.size() &&
                      state.other.size() == texts.other_clusters.size();
    require<DataError>(fits,
                       "state ",
                       state.state,
                       ": got scores of ",
                       state.own.size(),
                       " and ",
                       state.other.size(),
                       " texts, expected ",
                       texts.own_clusters.size(),
                       " and ",
                       texts.other_clusters.size());
    rows.push_back({.probe = probe,
                    .window = window,
                    .state = state.state,
                    .auroc = auroc_of(texts, state, options),
                    .mean = bootstrap_mean(state.own, own),
                    .above = above_interval(state.own, threshold, own),
                    .other_above = share_above(state.other, threshold),
                    .threshold = threshold,
                    .shift = bootstrap_difference(state.own, base.own, own),
                    .distance = bootstrap_mean(state.distance, own)});
  }
  return rows;
}

}  // namespace rebound
