// Score and gradient of a batch of recovery problems, its examples shared out among the threads
// (base/parallel.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "rebound/recover/problem.h"

namespace rebound {

struct Slope {
  at::Tensor score;     // [batch]
  at::Tensor gradient;  // of the loss plus the penalty, as delta
  at::Tensor shift;     // pre-activation shift [batch, rows, n]; undefined unless wanted or penalised
};

struct SlopeOptions {
  bool is_shared = false;  // delta is [1, 1, d_model]; its gradient is summed over the batch
  bool wants_shift = false;
  at::Tensor penalty_weight = {};  // [batch] of |pre-activation shift|^2 in the loss; undefined: 0
};

class ParallelSlope {
 public:
  ParallelSlope(const Problem& problem, const SlopeOptions& options);

  Slope at(const at::Tensor& delta) const;

 private:
  static constexpr int64_t kSmallestPart = 4;  // examples; below that threads cost more than they save
  Slope slope_of(size_t part, const at::Tensor& start) const;

  SlopeOptions options_;
  std::vector<Problem> parts_;
  std::vector<std::pair<int64_t, int64_t>> slices_;  // first example and count of each part
};

}  // namespace rebound
