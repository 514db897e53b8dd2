// The Jacobian J of all protected readings by delta at one point, known by its products: J^T u by
// reverse mode, J v by reverse mode of that (no finite differences). Only the layers up to the last
// clamped site run. One row block an example: J is block diagonal over the batch.
#pragma once

#include <ATen/core/Tensor.h>

#include "rebound/recover/cross_problem.h"
#include "rebound/recover/lsmr.h"

namespace rebound {

class ReadingJacobian {
 public:
  // `allowed` [batch, sites, rows, 1], 0 where delta may not move.
  ReadingJacobian(const CrossProblem& problem, const at::Tensor& delta, at::Tensor allowed);

  const at::Tensor& shift() const { return shift_; }  // [batch, m] readings minus defended ones
  at::Tensor transpose_times(const at::Tensor& u) const;  // [batch, m] -> [batch, n]
  at::Tensor times(const at::Tensor& v) const;            // [batch, n] -> [batch, m]

  // x minus its part in the row space of J, n = sites * rows * d_model. [batch, n]
  at::Tensor project_out_rows(const at::Tensor& x, const LsmrOptions& options) const;
  // The shortest step with J step = -shift.
  at::Tensor newton_step(const LsmrOptions& options) const;

 private:
  at::Tensor delta_, allowed_, shift_, seed_, pulled_;
};

}  // namespace rebound
