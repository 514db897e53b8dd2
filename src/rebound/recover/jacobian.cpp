#include "rebound/recover/jacobian.h"

#include <torch/torch.h>

namespace rebound {
namespace {

at::Tensor gradient_of(const at::Tensor& output, const at::Tensor& input, const at::Tensor& weight, bool is_kept) {
  return torch::autograd::grad({output}, {input}, {weight}, /*retain_graph=*/true, /*create_graph=*/is_kept)[0];
}

}  // namespace

ReadingJacobian::ReadingJacobian(const CrossProblem& problem, const at::Tensor& delta, at::Tensor allowed)
    : delta_(delta.detach().requires_grad_(true)), allowed_(std::move(allowed)) {
  const at::AutoGradMode grad_mode(true);
  shift_ = flat_shift(problem, problem.run_sites(delta_, Span::kNone).reading);
  seed_ = at::zeros_like(shift_).requires_grad_(true);
  pulled_ = gradient_of(shift_, delta_, seed_, /*is_kept=*/true);
}

at::Tensor ReadingJacobian::transpose_times(const at::Tensor& u) const {
  return (gradient_of(shift_, delta_, u, /*is_kept=*/false) * allowed_).flatten(1);
}

at::Tensor ReadingJacobian::times(const at::Tensor& v) const {
  return gradient_of(pulled_, seed_, v.view_as(delta_) * allowed_, /*is_kept=*/false);
}

at::Tensor ReadingJacobian::project_out_rows(const at::Tensor& x, const LsmrOptions& options) const {
  // The y that minimises |J^T y - x|: J^T y is x's part in the row space.
  const LinearOperator transposed{[this](const at::Tensor& y) { return transpose_times(y); },
                                  [this](const at::Tensor& v) { return times(v); }};
  return x - transpose_times(lsmr(transposed, x, options).x);
}

at::Tensor ReadingJacobian::newton_step(const LsmrOptions& options) const {
  const LinearOperator plain{[this](const at::Tensor& v) { return times(v); },
                             [this](const at::Tensor& y) { return transpose_times(y); }};
  return lsmr(plain, -shift_.detach(), options).x;
}

}  // namespace rebound
