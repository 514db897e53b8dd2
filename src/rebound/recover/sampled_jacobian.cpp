#include "rebound/recover/sampled_jacobian.h"

#include <torch/torch.h>

#include <utility>

#include "rebound/base/rng.h"

namespace rebound {
namespace {

constexpr double kSmallest = 1e-8;
constexpr double kNoDrift = 1e-5;  // relative; below it the drift's direction is rounding

struct FlatState {
  at::Tensor now, shift;  // [batch, n]
};

FlatState flatten(const CrossProblem& problem, const std::vector<at::Tensor>& active) {
  std::vector<at::Tensor> now, shift;
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  for (size_t i = 0; i < active.size(); ++i) {
    const ClampedSite& site = problem.sites()[i];
    now.push_back((active[i] * mask).flatten(1));
    shift.push_back(((active[i].detach() - site.active_def) * mask).flatten(1));
  }
  return {at::cat(now, 1), at::cat(shift, 1)};
}

at::Tensor row_products(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/true);
}

// The same for every example, whatever the batch: one stream a site, row by row. [batch, n]
at::Tensor gaussian_probe(const CrossProblem& problem,
                          const std::vector<at::Tensor>& active,
                          std::pair<uint64_t, uint64_t> key) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < active.size(); ++i) {
    const int64_t rows = active[i].size(1), n = active[i].size(2);
    Rng rng({key.first, key.second, i});
    const at::Tensor noise =
        at::tensor(rng.normals(rows * n)).to(active[i].device()).view({1, rows, n});
    parts.push_back((noise * problem.is_real().unsqueeze(-1)).flatten(1));
  }
  return at::cat(parts, 1);
}

}  // namespace

at::Tensor active_drift_loss(const CrossProblem& problem, const std::vector<at::Tensor>& active) {
  at::Tensor sum;
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  for (size_t i = 0; i < active.size(); ++i) {
    const ClampedSite& site = problem.sites()[i];
    const at::Tensor& defended = site.active_def;
    const at::Tensor part = ((active[i] - defended) * mask).square().sum({1, 2}) /
                            ((defended * mask).square().sum({1, 2}) + 1e-6);
    sum = sum.defined() ? sum + part : part;
  }
  return sum / static_cast<double>(active.size());
}

at::Tensor sampled_jacobian_gradient(const CrossProblem& problem,
                                     const ProbedRun& probed,
                                     const ProbeOptions& options) {
  const FlatState state = flatten(problem, probed.run.active);
  const auto pull = [&](const at::Tensor& output, const at::Tensor& weight) {
    return torch::autograd::grad({output}, {probed.delta}, {weight}, /*retain_graph=*/true)[0]
        .flatten(1);
  };
  std::vector<at::Tensor> basis;
  for (int64_t i = -1; i < options.count; ++i) {
    at::Tensor probe =
        i < 0
            ? state.shift * (state.shift.norm(2, -1, true) > kNoDrift * state.now.norm(2, -1, true))
            : gaussian_probe(problem, probed.run.active, {options.seed, static_cast<uint64_t>(i)});
    probe = probe / (probe.norm(2, -1, true) + kSmallest);
    at::Tensor row = pull(state.now, probe);
    for (const at::Tensor& known : basis) row = row - row_products(row, known) * known;
    const at::Tensor norm = row.norm(2, -1, true);
    basis.push_back(at::where(norm > 1e-7, row / norm.clamp_min(1e-7), at::zeros_like(row)));
  }
  at::Tensor gradient = pull(-probed.gain, at::ones_like(probed.gain));
  for (const at::Tensor& known : basis) gradient = gradient - row_products(gradient, known) * known;
  if (probed.penalty_weight > 0) {
    const at::Tensor drift = active_drift_loss(problem, probed.run.active);
    gradient = gradient + probed.penalty_weight * pull(drift, at::ones_like(drift));
  }
  return gradient.view_as(probed.delta);
}

}  // namespace rebound
