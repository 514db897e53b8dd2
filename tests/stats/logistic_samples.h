// Labelled normal features for tests of logistic regression.
#pragma once

#include <cmath>

#include "rebound/base/rng.h"
#include "rebound/stats/samples.h"

namespace rebound {

// Labels drawn from a logistic model with weights 2, -2, 2, ... on the first three features.
inline Samples random_samples(int64_t n, int64_t d, uint64_t seed) {
  Rng rng({seed});
  Samples samples = {.d = d};
  for (int64_t i = 0; i < n; ++i) {
    double margin = 0;
    for (int64_t j = 0; j < d; ++j) {
      const double x = rng.normal();
      samples.x.push_back(static_cast<float>(x));
      if (j < 3) margin += (j % 2 == 0 ? 2 : -2) * x;
    }
    samples.is_positive.push_back(rng.uniform() < 1 / (1 + std::exp(-margin)));
  }
  return samples;
}

}  // namespace rebound
