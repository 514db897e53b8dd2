#include "rebound/recover/lsmr.h"

#include <torch/torch.h>

namespace rebound {
namespace {

constexpr double kTiny = 1e-30;

// Divides by the norm, which is returned; a zero row stays zero.
at::Tensor normalise(at::Tensor& rows) {
  const at::Tensor norm = rows.norm(2, -1, /*keepdim=*/true);
  rows = rows / norm.clamp_min(kTiny);
  return norm;
}

// c, s, r of the rotation that takes (a, b) to (r, 0).
struct Rotation {
  at::Tensor c, s, r;
  Rotation(const at::Tensor& a, const at::Tensor& b) : r((a.square() + b.square()).sqrt()) {
    c = a / r.clamp_min(kTiny);
    s = b / r.clamp_min(kTiny);
  }
};

at::Tensor ratio_or_zero(const at::Tensor& a, const at::Tensor& b) {
  return at::where(b > kTiny, a / b.clamp_min(kTiny), at::zeros_like(a));
}

}  // namespace

LsmrResult lsmr(const LinearOperator& a, const at::Tensor& b, const LsmrOptions& options) {
  at::Tensor u = b;
  at::Tensor beta = normalise(u);
  at::Tensor v = a.transpose_times(u);
  at::Tensor alpha = normalise(v);
  at::Tensor alphabar = alpha, zetabar = alpha * beta;
  at::Tensor rho = at::ones_like(alpha), rhobar = rho, cbar = rho, sbar = at::zeros_like(alpha);
  at::Tensor h = v, hbar = at::zeros_like(v);
  LsmrResult result{at::zeros_like(v), 0};
  const at::Tensor goal = options.tolerance * zetabar.abs();
  // A finished example keeps its x: further steps would follow rounding.
  at::Tensor is_open = zetabar.abs() > goal;
  while (result.iterations < options.max_iterations && is_open.any().item<bool>()) {
    u = a.times(v) - alpha * u;
    beta = normalise(u);
    v = a.transpose_times(u) - beta * v;
    alpha = normalise(v);

    const at::Tensor rho_before = rho, rhobar_before = rhobar;
    const Rotation first(alphabar, beta);
    rho = first.r;
    const at::Tensor theta = first.s * alpha;
    alphabar = first.c * alpha;

    const at::Tensor thetabar = sbar * rho;
    const Rotation second(cbar * rho, theta);
    cbar = second.c;
    sbar = second.s;
    rhobar = second.r;
    const at::Tensor zeta = cbar * zetabar;
    zetabar = -sbar * zetabar;

    hbar = h - ratio_or_zero(thetabar * rho, rho_before * rhobar_before) * hbar;
    result.x = at::where(is_open, result.x + ratio_or_zero(zeta, rho * rhobar) * hbar, result.x);
    h = v - ratio_or_zero(theta, rho) * h;
    is_open = is_open & (zetabar.abs() > goal);
    ++result.iterations;
  }
  return result;
}

}  // namespace rebound
