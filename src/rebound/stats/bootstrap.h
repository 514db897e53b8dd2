// Percentile bootstrap over clusters: whole clusters are drawn with replacement, so that examples
// of one question or near-duplicate group stay together.
//
//   const Estimate rate = bootstrap_mean(recovered, {.clusters = questions});
//   const Estimate gain = bootstrap_difference(attacked, random, {.clusters = questions});
//
// An estimate's value is the statistic of the sample itself; low and high are quantiles of the
// redrawn statistics. Draw d depends on (seed, d) alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace rebound {

struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

struct BootstrapOptions {
  // Cluster id of each example, any integers; empty: every example is its own cluster.
  std::vector<int64_t> clusters = {};
  double confidence = 0.95;
  int draws = 2000;
  uint64_t seed = 0;

  void validate(size_t n) const;
};

// `statistic` gets the positions of the drawn examples, some of them repeated.
using Statistic = std::function<double(const std::vector<int64_t>& drawn)>;
// All three NaN for n = 0.
Estimate bootstrap(int64_t n, const Statistic& statistic, const BootstrapOptions& options = {});

Estimate bootstrap_mean(const std::vector<double>& values, const BootstrapOptions& options = {});
Estimate bootstrap_median(const std::vector<double>& values, const BootstrapOptions& options = {});

// Mean of a_i - b_i: the two rows are measured on the same examples.
Estimate bootstrap_difference(const std::vector<double>& a,
                              const std::vector<double>& b,
                              const BootstrapOptions& options = {});

// How paired ratios become one number. Numerators may be infinite (censored) under the medians.
enum class RatioKind { kMedianOfRatios, kMeanOfRatios, kRatioOfMedians };
Estimate bootstrap_ratio(const std::vector<double>& numerators,
                         const std::vector<double>& denominators,
                         RatioKind kind,
                         const BootstrapOptions& options = {});

}  // namespace rebound
