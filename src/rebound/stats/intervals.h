// Closed-form intervals and tests for counts of independent examples.
//
//   Wilson: centre (p + z^2/2n) / (1 + z^2/n),  half width z sqrt(p(1-p)/n + z^2/4n^2) / (1 +
//   z^2/n) McNemar, exact: two-sided binomial(only_a + only_b, 1/2)
//
// Examples that share a question or a near-duplicate group are not independent: see bootstrap.h.
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

// p-value of "the two rows recover equally often", from the discordant pairs alone:
// `only_a` examples recovered by row a and not b, `only_b` the other way round. 1 without any.
double mcnemar_exact(int64_t only_a, int64_t only_b);

}  // namespace rebound
