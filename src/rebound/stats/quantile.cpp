#include "rebound/stats/quantile.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

double mean(const std::vector<double>& values) {
  if (values.empty()) return kNaN;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

double quantile(std::vector<double> values, double q) {
  require<ConfigError>(q >= 0 && q <= 1, "quantile: q must be in [0, 1], got ", q);
  if (values.empty()) return kNaN;
  for (const double value : values) {
    if (std::isnan(value)) return kNaN;
  }
  std::sort(values.begin(), values.end());
  const double rank = q * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(rank);
  const double share = rank - static_cast<double>(below);
  const double low = values[below];
  if (share == 0 || below + 1 == values.size()) return low;
  const double high = values[below + 1];
  return low == high ? low : low + share * (high - low);  // inf - inf would be NaN
}

CensoredMedian censored_median(const std::vector<double>& values, double cap) {
  constexpr double kRounding = 1e-5;  // of a float32 norm
  CensoredMedian result{.n = static_cast<int64_t>(values.size())};
  std::vector<double> ranked = values;
  for (double& value : ranked) {
    if (value <= cap * (1 + kRounding)) continue;
    value = kInfinity;
    ++result.n_censored;
  }
  result.is_censored = result.n > 0 && 2 * result.n_censored >= result.n;
  result.value = result.is_censored ? cap : median(ranked);
  return result;
}

std::string to_string(const CensoredMedian& median) {
  if (median.n == 0) return "-";
  char text[64];
  std::snprintf(text, sizeof text, median.is_censored ? "> %.3g" : "%.3g", median.value);
  return text;
}

}  // namespace rebound
