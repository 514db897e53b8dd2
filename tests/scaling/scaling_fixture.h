// Curves whose law is known, for tests.
#pragma once

#include <string>
#include <vector>

#include "rebound/scaling/curve.h"

namespace rebound {

// L = 1 + 4 C^-0.5 at C = 1, 4, 16, 64, 100 (times 1e10): 5, 3, 2, 1.5, 1.4.
inline constexpr double kUnit = 1e10;

inline PowerLaw planted_law() { return {.e = 1, .a = 4 * 1e5, .b = 0.5}; }

inline ScalingCurve planted_curve() {
  ScalingCurve curve;
  curve.family = "planted";
  for (const double c : {1.0, 4.0, 16.0, 64.0, 100.0}) {
    ScalingRun run{.name = std::to_string(static_cast<int>(c)) + "x", .compute = c * kUnit};
    run.loss = planted_law().loss_at(run.compute);
    run.model_sha256 = "hash of " + run.name;
    curve.runs.push_back(run);
  }
  return curve;
}

}  // namespace rebound
