// One gradient of the published cross-layer algorithm: the objective's, projected off a basis of
// random rows of the Jacobian of the active readings, plus the drift penalty's as it is.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "rebound/recover/cross_problem.h"

namespace rebound {

// A run with its graph; the probes go backwards through it.
struct ProbedRun {
  const at::Tensor& delta;  // requires grad
  const CrossRun& run;      // with active readings
  const at::Tensor& gain;   // [batch]
  double penalty_weight = 0;
};

struct ProbeOptions {
  int64_t count = 8;  // Gaussian ones; one along the present drift besides
  uint64_t seed = 0;
};

// Mean over sites of |active - defended|^2 / |defended|^2, all rows together. [batch]
at::Tensor active_drift_loss(const CrossProblem& problem, const std::vector<at::Tensor>& active);

// Of the loss -gain + penalty; like delta.
at::Tensor sampled_jacobian_gradient(const CrossProblem& problem, const ProbedRun& probed, const ProbeOptions& options);

}  // namespace rebound
