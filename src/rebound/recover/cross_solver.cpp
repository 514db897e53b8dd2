#include "rebound/recover/cross_solver.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/recover/cross_search.h"
#include "rebound/recover/drift_scale.h"
#include "rebound/recover/norms.h"

namespace rebound {
namespace {

// |defended readings|^2 of a site, at least those of a random residual as long: an ablated reading
// is nothing but rounding. [batch]
at::Tensor squared_scale(const CrossProblem& problem, const ClampedSite& site) {
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  return at::maximum(
      (site.read_def * mask).square().sum({1, 2}),
      (site.h_def * mask).square().sum({1, 2}) * std::pow(reading_gain(*site.clamp), 2));
}

}  // namespace

at::Tensor squared_drift(const CrossProblem& problem, const std::vector<at::Tensor>& reading) {
  at::Tensor sum;
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  for (size_t i = 0; i < reading.size(); ++i) {
    const ClampedSite& site = problem.sites()[i];
    const at::Tensor part =
        ((reading[i] - site.read_def) * mask).square().sum({1, 2}) / squared_scale(problem, site);
    sum = sum.defined() ? sum + part : part;
  }
  return sum / static_cast<double>(reading.size());
}

at::Tensor relative_drift(const CrossProblem& problem, const std::vector<at::Tensor>& reading) {
  const at::Tensor shift = flat_shift(problem, reading).norm(2, -1);
  at::Tensor defended = at::zeros_like(shift), scale = at::zeros_like(shift);
  for (const ClampedSite& site : problem.sites()) {
    defended = defended + (site.read_def * problem.is_real().unsqueeze(-1)).square().sum({1, 2});
    scale = scale + squared_scale(problem, site);
  }
  return relative_or_nan(shift, defended.sqrt(), scale.sqrt());
}

at::Tensor scaled_to_budget(const CrossProblem& problem,
                            const at::Tensor& delta,
                            Span projected,
                            double budget) {
  const at::NoGradGuard no_grad;
  at::Tensor scaled = delta * per_example(budget / norms_of(delta).clamp_min(1e-12), delta);
  constexpr int kMostRounds = 30;  // the effective norm is nearly proportional to the factor
  for (int round = 0; round < kMostRounds; ++round) {
    const at::Tensor ratio = problem.run_sites(scaled, projected).effective_norm() / budget;
    const bool is_close =
        ((ratio <= 1 + kBudgetSlack) & ((ratio > 1 - 1e-4) | (ratio == 0))).all().item<bool>();
    if (is_close) break;
    scaled = scaled / per_example(ratio.clamp_min(1e-6) * (1 + 1e-7), scaled);
  }
  return scaled;
}

CrossSolution solve_cross(const CrossProblem& problem,
                          const CrossRung& rung,
                          const CrossSolverOptions& options) {
  options.validate();
  const int64_t n = problem.size(), share = (n + worker_count() - 1) / worker_count();
  const int64_t width = std::min(options.examples_at_once, share), count = (n + width - 1) / width;
  std::vector<CrossSolution> parts(static_cast<size_t>(count));
  const auto longs = problem.targets().options();
  const at::Tensor budgets = options.budgets.defined()
                                 ? options.budgets.to(longs.device())
                                 : at::full({n}, options.budget, longs.dtype(at::kFloat));
  run_parts(count, [&](int64_t i) {
    const at::Tensor index = at::arange(i * width, std::min(n, (i + 1) * width), longs);
    const at::Tensor fixed =
        options.fixed.defined() ? options.fixed.index_select(0, index) : at::Tensor();
    parts[static_cast<size_t>(i)] =
        search_cross(problem.select(index), rung, options, budgets.index_select(0, index), fixed);
  });
  CrossSolution all = std::move(parts.front());
  for (size_t i = 1; i < parts.size(); ++i) {
    const CrossSolution& part = parts[i];
    all.delta = at::cat({all.delta, part.delta});
    all.score = at::cat({all.score, part.score});
    all.norm = at::cat({all.norm, part.norm});
    all.drift_rel = at::cat({all.drift_rel, part.drift_rel});
    all.is_won.insert(all.is_won.end(), part.is_won.begin(), part.is_won.end());
    all.termination.insert(all.termination.end(), part.termination.begin(), part.termination.end());
    all.steps.insert(all.steps.end(), part.steps.begin(), part.steps.end());
    for (TraceEntry entry : part.trace) {
      entry.example += static_cast<int64_t>(i) * width;
      all.trace.push_back(entry);
    }
  }
  return all;
}

}  // namespace rebound
