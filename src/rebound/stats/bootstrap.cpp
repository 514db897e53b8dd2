#include "rebound/stats/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

using Rows = std::vector<int64_t>;

std::vector<Rows> clusters_of(int64_t n, const std::vector<int64_t>& ids) {
  std::map<int64_t, Rows> by_id;
  for (int64_t i = 0; i < n; ++i) by_id[ids.empty() ? i : ids[static_cast<size_t>(i)]].push_back(i);
  std::vector<Rows> clusters;
  for (auto& [id, rows] : by_id) clusters.push_back(std::move(rows));
  return clusters;
}

void draw_rows(const std::vector<Rows>& clusters, Rng& rng, Rows& drawn) {
  drawn.clear();
  for (size_t i = 0; i < clusters.size(); ++i) {
    const Rows& rows =
        clusters[static_cast<size_t>(rng.below(static_cast<int64_t>(clusters.size())))];
    drawn.insert(drawn.end(), rows.begin(), rows.end());
  }
}

std::vector<double> pick(const std::vector<double>& values, const Rows& rows) {
  std::vector<double> picked;
  picked.reserve(rows.size());
  for (const int64_t row : rows) picked.push_back(values[static_cast<size_t>(row)]);
  return picked;
}

using Summarise = double (*)(const std::vector<double>&);

Estimate bootstrap_values(const std::vector<double>& values,
                          Summarise summarise,
                          const BootstrapOptions& options) {
  return bootstrap(
      static_cast<int64_t>(values.size()),
      [&](const Rows& rows) { return summarise(pick(values, rows)); },
      options);
}

void require_pairs(const char* where, size_t a, size_t b) {
  require<ConfigError>(a == b, where, ": got ", a, " and ", b, " values, expected equally many");
}

}  // namespace

void BootstrapOptions::validate(size_t n) const {
  require<ConfigError>(clusters.empty() || clusters.size() == n,
                       "BootstrapOptions.clusters: got ",
                       clusters.size(),
                       " ids, expected ",
                       n);
  require<ConfigError>(confidence > 0 && confidence < 1,
                       "BootstrapOptions.confidence must be in (0, 1), got ",
                       confidence);
  require<ConfigError>(draws > 0, "BootstrapOptions.draws must be > 0, got ", draws);
}

Estimate bootstrap(int64_t n, const Statistic& statistic, const BootstrapOptions& options) {
  return bootstrap_where_defined(n, statistic, options);
}

Estimate bootstrap_where_defined(int64_t n,
                                 const PartialStatistic& statistic,
                                 const BootstrapOptions& options) {
  options.validate(static_cast<size_t>(n));
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  if (n == 0) return {kNaN, kNaN, kNaN};

  const std::vector<Rows> clusters = clusters_of(n, options.clusters);
  Rows drawn(static_cast<size_t>(n));
  std::iota(drawn.begin(), drawn.end(), 0);
  const double value = statistic(drawn).value_or(kNaN);
  if (static_cast<int64_t>(clusters.size()) < options.fewest_clusters) return {value, kNaN, kNaN};
  std::vector<double> redrawn;
  for (int draw = 0; draw < options.draws; ++draw) {
    Rng rng({options.seed, static_cast<uint64_t>(draw)});
    draw_rows(clusters, rng, drawn);
    if (const std::optional<double> one = statistic(drawn)) redrawn.push_back(*one);
  }
  const double tail = (1 - options.confidence) / 2;
  return {value, quantile(redrawn, tail), quantile(redrawn, 1 - tail)};
}

int64_t count_distinct(const std::vector<int64_t>& clusters, int64_t n) {
  if (clusters.empty()) return n;
  return static_cast<int64_t>(std::set<int64_t>(clusters.begin(), clusters.end()).size());
}

bool has_no_width(const Estimate& estimate) {
  constexpr double kRounding = 1e-9;  // equal values, summed in another order
  return estimate.high - estimate.low < kRounding;
}

Estimate widened_where_flat(const Estimate& estimate, int64_t clusters, double least, double most) {
  if (std::isnan(estimate.value)) return estimate;
  const bool has_draws = !std::isnan(estimate.low);
  if (has_draws && !has_no_width(estimate)) return estimate;
  const Interval unseen = unseen_cluster_bounds(estimate.value, clusters, least, most);
  if (!has_draws) return {estimate.value, unseen.low, unseen.high};
  return {estimate.value, std::min(estimate.low, unseen.low), std::max(estimate.high, unseen.high)};
}

Interval clustered_rate_interval(const std::vector<double>& values,
                                 const BootstrapOptions& options) {
  const Estimate redrawn = bootstrap_mean(values, options);
  if (!has_no_width(redrawn) && redrawn.low > 0 && redrawn.high < 1)
    return {redrawn.low, redrawn.high};
  const Interval unseen = unseen_cluster_bounds(
      redrawn.value, count_distinct(options.clusters, static_cast<int64_t>(values.size())));
  return {std::min(redrawn.low, unseen.low), std::max(redrawn.high, unseen.high)};
}

Estimate bootstrap_mean(const std::vector<double>& values, const BootstrapOptions& options) {
  return bootstrap_values(values, &mean, options);
}

Estimate bootstrap_median(const std::vector<double>& values, const BootstrapOptions& options) {
  return bootstrap_values(values, &median, options);
}

Estimate bootstrap_difference(const std::vector<double>& a,
                              const std::vector<double>& b,
                              const BootstrapOptions& options) {
  require_pairs("bootstrap_difference", a.size(), b.size());
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  return bootstrap_mean(differences, options);
}

Estimate bootstrap_ratio(const std::vector<double>& numerators,
                         const std::vector<double>& denominators,
                         RatioKind kind,
                         const BootstrapOptions& options) {
  require_pairs("bootstrap_ratio", numerators.size(), denominators.size());
  if (kind == RatioKind::kRatioOfMedians) {
    const auto ratio = [&](const Rows& rows) {
      return median(pick(numerators, rows)) / median(pick(denominators, rows));
    };
    return bootstrap(static_cast<int64_t>(numerators.size()), ratio, options);
  }
  std::vector<double> ratios(numerators.size());
  for (size_t i = 0; i < ratios.size(); ++i) ratios[i] = numerators[i] / denominators[i];
  return kind == RatioKind::kMeanOfRatios ? bootstrap_mean(ratios, options)
                                          : bootstrap_median(ratios, options);
}

}  // namespace rebound
