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
#include <optional>
#include <vector>

#include "rebound/stats/intervals.h"

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
  // With fewer, low and high are NaN: 2 for means of which no bounds are known beforehand, as one
  // cluster does not say how far others lie.
  int64_t fewest_clusters = 1;

  void validate(size_t n) const;
};

// `statistic` gets the positions of the drawn examples, some of them repeated.
using Statistic = std::function<double(const std::vector<int64_t>& drawn)>;
// All three NaN for n = 0.
Estimate bootstrap(int64_t n, const Statistic& statistic, const BootstrapOptions& options = {});

// Draws for which the statistic is nothing are left out; low and high are NaN where all are, the
// value where it is nothing for the sample.
using PartialStatistic = std::function<std::optional<double>(const std::vector<int64_t>& drawn)>;
Estimate bootstrap_where_defined(int64_t n,
                                 const PartialStatistic& statistic,
                                 const BootstrapOptions& options = {});

// Different ids; n where there are none.
int64_t count_distinct(const std::vector<int64_t>& clusters, int64_t n);
// Whether all draws agree but for rounding: then they say nothing of clusters that were not drawn.
bool has_no_width(const Estimate& estimate);
// There (and where no draw counted) the hull with unseen_cluster_bounds of the value.
Estimate widened_where_flat(const Estimate& estimate, int64_t clusters, double least, double most);
// Of a mean of values in [0, 1]: bootstrap_mean, widened by unseen_cluster_bounds where it has no
// width or reaches 0 or 1, which rests on three clusters or so.
Interval clustered_rate_interval(const std::vector<double>& values,
                                 const BootstrapOptions& options);

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
