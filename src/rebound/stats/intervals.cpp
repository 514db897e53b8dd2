#include "rebound/stats/intervals.h"

#include <algorithm>
#include <cmath>

#include "rebound/base/error.h"

namespace rebound {

Interval wilson(int64_t successes, int64_t n, double z) {
  require<ConfigError>(successes >= 0 && successes <= n,
                       "wilson: successes must be in [0, ",
                       n,
                       "], got ",
                       successes);
  if (n == 0) return {};
  const double count = static_cast<double>(n);
  const double rate = static_cast<double>(successes) / count;
  const double shrink = 1 + z * z / count;
  const double centre = (rate + z * z / (2 * count)) / shrink;
  const double half =
      z * std::sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)) / shrink;
  return {successes == 0 ? 0 : centre - half, successes == n ? 1 : centre + half};
}

Interval unseen_cluster_bounds(double value, int64_t clusters, double least, double most) {
  const double unseen = wilson(0, clusters).high;
  return {(1 - unseen) * value + unseen * least, (1 - unseen) * value + unseen * most};
}

double mcnemar_exact(int64_t only_a, int64_t only_b) {
  require<ConfigError>(only_a >= 0 && only_b >= 0,
                       "mcnemar_exact: counts must be >= 0, got ",
                       only_a,
                       " and ",
                       only_b);
  const double n = static_cast<double>(only_a + only_b);
  double tail = 0;
  for (int64_t k = 0; k <= std::min(only_a, only_b); ++k) {
    const double chosen = static_cast<double>(k);
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(chosen + 1) - std::lgamma(n - chosen + 1) -
                     n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

}  // namespace rebound
