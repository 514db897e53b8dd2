#include "rebound/recover/constraint.h"

#include <torch/torch.h>

#include "rebound/base/error.h"

namespace rebound {

const std::vector<Rung>& ladder() {
  static const std::vector<Rung> rungs = {
      {.name = "none"},
      {.name = "penalty", .penalty_weight = 0.1},
      {.name = "encoder_published", .gradient_ridge = 1e-4},
      {.name = "encoder", .projected = Span::kEncoder},
      {.name = "encoder_decoder", .projected = Span::kEncoderDecoder},
  };
  return rungs;
}

const Rung& rung_of(const std::string& name) {
  std::string known;
  for (const Rung& rung : ladder()) {
    if (rung.name == name) return rung;
    known += (known.empty() ? "" : ", ") + rung.name;
  }
  throw ConfigError(concat("constraint: got \"", name, "\", expected one of: ", known));
}

at::Tensor orthonormal_basis(const at::Tensor& vectors) {
  constexpr double kRankTolerance = 1e-7;
  const auto [u, s, vh] = at::linalg_svd(vectors.to(at::kDouble), /*full_matrices=*/false);
  const double largest = s.numel() > 0 ? s[0].item<double>() : 0;
  const int64_t rank = (s > kRankTolerance * largest).sum().item<int64_t>();
  return u.narrow(1, 0, rank).to(at::kFloat).contiguous();
}

Constraint::Constraint(const Rung& rung, const Sae& sae, const Sae::Features& features)
    : rung_(rung), encoder_columns_(sae.encoder_columns(features)) {
  const at::Tensor exact = encoder_columns_.to(at::kDouble);
  encoder_norm_ = at::linalg_svdvals(exact)[0].item<double>();
  if (rung.projected != Span::kNone) {
    at::Tensor span = exact / exact.norm(2, 0, /*keepdim=*/true).clamp_min(1e-30);
    if (rung.projected == Span::kEncoderDecoder) {
      const at::Tensor rows = sae.decoder_rows(features).t().to(at::kDouble);
      span = at::cat({span, rows / rows.norm(2, 0, /*keepdim=*/true).clamp_min(1e-30)}, 1);
    }
    basis_ = orthonormal_basis(span);
    require<NumericError>(free_dimension() > 0, "constraint ", rung.name, ": ", features.size(),
                          " features span all ", basis_.size(0),
                          " dimensions, expected at least one left free");
  }
  if (rung.gradient_ridge > 0) {
    const at::Tensor gram = exact.t().mm(exact) +
                            rung.gradient_ridge * at::eye(exact.size(1), exact.options());
    const at::Tensor identity = at::eye(exact.size(0), exact.options());
    ridge_filter_ = (identity - exact.mm(at::linalg_solve(gram, exact.t()))).to(at::kFloat);
  }
}

int64_t Constraint::free_dimension() const {
  return encoder_columns_.size(0) - (basis_.defined() ? basis_.size(1) : 0);
}

at::Tensor Constraint::project(const at::Tensor& delta) const {
  if (!basis_.defined()) return delta;
  // Twice: the second pass removes the rounding of the first.
  const at::Tensor once = delta - at::matmul(at::matmul(delta, basis_), basis_.t());
  return once - at::matmul(at::matmul(once, basis_), basis_.t());
}

at::Tensor Constraint::filter_gradient(const at::Tensor& gradient) const {
  return ridge_filter_.defined() ? at::matmul(gradient, ridge_filter_) : gradient;
}

at::Tensor Constraint::penalty(const at::Tensor& pre_shift) const {
  return rung_.penalty_weight * pre_shift.square().sum({1, 2});
}

double Constraint::violation(const at::Tensor& delta) const {
  const double norm = delta.norm().item<double>();
  if (norm == 0) return 0;
  return at::matmul(delta, encoder_columns_).norm().item<double>() / (encoder_norm_ * norm);
}

}  // namespace rebound
