#include "rebound/audit/result_figures.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "rebound/audit/summary.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

using Results = std::vector<StoredResult>;

struct Paired {
  std::vector<double> a, b;
  BootstrapOptions options;
};

Paired pair_up(const std::map<int64_t, double>& a,
               const std::map<int64_t, double>& b,
               const std::vector<int64_t>& clusters) {
  Paired paired;
  for (const auto& [prompt, value] : a) {
    const auto other = b.find(prompt);
    if (other == b.end()) continue;
    paired.a.push_back(value);
    paired.b.push_back(other->second);
    paired.options.clusters.push_back(clusters[static_cast<size_t>(prompt)]);
  }
  return paired;
}

int64_t distinct(const std::vector<int64_t>& ids) { return count_distinct(ids, 0); }

Interval hull(const Interval& a, const Interval& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

// Minimal budget per nat of gap, by prompt (median over its targets); a censored budget counts as
// `censored`.
std::map<int64_t, double> cost_per_nat(const Results& results, double censored) {
  std::map<int64_t, std::vector<double>> costs;
  for (const StoredResult& result : results) {
    const double gap = figure(result, "gap"), budget = figure(result, "minimal_budget");
    if (!(gap > 1e-3)) continue;  // nothing to write
    costs[result.prompt].push_back((std::isfinite(budget) ? budget : censored) / gap);
  }
  std::map<int64_t, double> medians;
  for (const auto& [prompt, values] : costs) medians[prompt] = median(values);
  return medians;
}

}  // namespace

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

double figure(const StoredResult& result, const char* name) {
  const auto found = result.figures.find(name);
  if (found == result.figures.end() || !found->is_number()) return kNotMeasured;
  return found->get<double>();
}

std::vector<double> figures(const Results& results, const char* name) {
  std::vector<double> values;
  for (const StoredResult& result : results) {
    const double value = figure(result, name);
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

std::map<int64_t, double> rates_by_prompt(const Results& results) {
  std::map<int64_t, std::pair<double, double>> sums;
  for (const StoredResult& result : results) {
    sums[result.prompt].first += result.recovered;
    sums[result.prompt].second += 1;
  }
  std::map<int64_t, double> rates;
  for (const auto& [prompt, sum] : sums) rates[prompt] = sum.first / sum.second;
  return rates;
}

double mean_figure(const Results& results, const char* name) {
  return mean(figures(results, name));
}

int64_t count_clusters(const Results& results, const std::vector<int64_t>& clusters) {
  std::set<int64_t> ids;
  for (const StoredResult& result : results)
    ids.insert(clusters[static_cast<size_t>(result.prompt)]);
  return static_cast<int64_t>(ids.size());
}

Interval recovery_interval(const Results& results, const std::vector<int64_t>& clusters) {
  if (results.empty()) return {kNotMeasured, kNotMeasured};
  std::vector<double> values;
  BootstrapOptions options;
  for (const auto& [prompt, rate] : rates_by_prompt(results)) {
    values.push_back(rate);
    options.clusters.push_back(clusters[static_cast<size_t>(prompt)]);
  }
  const int64_t n_clusters = distinct(options.clusters);
  const bool is_tried_once = values.size() == results.size();
  int64_t recovered = 0;
  for (const StoredResult& result : results) recovered += result.recovered;
  const Interval alone = wilson(recovered, static_cast<int64_t>(results.size()));
  if (is_tried_once && n_clusters == static_cast<int64_t>(values.size())) return alone;
  const Interval wide = clustered_rate_interval(values, options);
  return is_tried_once ? hull(wide, alone) : wide;
}

Estimate paired_difference(const Results& a,
                           const Results& b,
                           const std::vector<int64_t>& clusters) {
  const Paired paired = pair_up(rates_by_prompt(a), rates_by_prompt(b), clusters);
  return widened_where_flat(bootstrap_difference(paired.a, paired.b, paired.options),
                            distinct(paired.options.clusters),
                            -1,
                            1);
}

Estimate specificity_per_nat(const Results& inject,
                             const Results& recover,
                             const std::vector<int64_t>& clusters,
                             SearchCaps caps) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto paired_costs = [&](double censored_injection, double censored_recovery) {
    return pair_up(cost_per_nat(inject, censored_injection),
                   cost_per_nat(recover, censored_recovery),
                   clusters);
  };
  const auto ratio = [](const Paired& paired) {
    return bootstrap_ratio(paired.a, paired.b, RatioKind::kMedianOfRatios, paired.options);
  };
  const Paired least_costs = paired_costs(caps.inject, kInfinity),
               most_costs = paired_costs(kInfinity, caps.recover);
  const Estimate least = ratio(least_costs);
  const bool has_pairs = !least_costs.a.empty();
  if (has_pairs && distinct(least_costs.options.clusters) < kFewestForMedian)
    return {least.value, 0, kInfinity};
  return {least.value, least.low, ratio(most_costs).high};
}

Json median_budget(const Results& results, double cap) {
  std::vector<double> budgets;
  for (const StoredResult& result : results) budgets.push_back(figure(result, "minimal_budget"));
  const CensoredMedian median = censored_median(budgets, cap);
  return {{"value", to_string(median)}, {"n", median.n}, {"n_censored", median.n_censored}};
}

Json estimate_json(const Estimate& estimate) {
  return {{"value", finite_or_null(estimate.value)},
          {"ci_low", finite_or_null(estimate.low)},
          {"ci_high", finite_or_null(estimate.high)}};
}

}  // namespace rebound
