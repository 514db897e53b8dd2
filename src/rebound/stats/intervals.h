// Closed-form intervals and tests for counts of independent examples.
//
//   Wilson: centre (p + z^2/2n) / (1 + z^2/n),  half width z sqrt(p(1-p)/n + z^2/4n^2) / (1 +
//   z^2/n) McNemar, exact: two-sided binomial(only_a + only_b, 1/2)
//
// Examples that share a question or a near-duplicate group are not independent: see bootstrap.h,
// and unseen_cluster_bounds where a bootstrap has nothing to redraw.
#pragma once

#include <cstdint>

namespace rebound {

constexpr double kZ95 = 1.959963984540054;

struct Interval {
  double low = 0;
  double high = 1;
};

// Wilson score interval of successes / n, exactly 0 and 1 at the ends; [0, 1] for n = 0.
// ConfigError unless 0 <= successes <= n.
Interval wilson(int64_t successes, int64_t n, double z = kZ95);

// Bounds of a mean found as `value` over so many clusters of examples. A kind of cluster of which
// none was drawn may make up a share u = z^2 / (clusters + z^2) of all (Wilson's upper bound of 0
// in `clusters`), with any mean in [least, most]:
//
//   [(1 - u) value + u least,  (1 - u) value + u most]
//
// Of a rate of 0 or 1 these are Wilson's bounds on the number of clusters, where a bootstrap has no
// width. [least, most] for no clusters. ConfigError for clusters < 0.
Interval unseen_cluster_bounds(double value, int64_t clusters, double least = 0, double most = 1);

// p-value of "the two rows recover equally often", from the discordant pairs alone:
// `only_a` examples recovered by row a and not b, `only_b` the other way round. 1 without any.
double mcnemar_exact(int64_t only_a, int64_t only_b);

}  // namespace rebound
