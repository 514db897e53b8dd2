#include "rebound/recover/cross_minimal.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "rebound/base/parallel.h"

namespace rebound {
namespace {

constexpr double kRounding =
    1.0 / 256;  // of a norm between bfloat16, where it was capped, and float32
constexpr double kSmallestShare = 1.0 / 8;  // of the norm at the cap, where bisection starts

std::vector<int64_t> open_examples(const std::vector<double>& high) {
  std::vector<int64_t> open;
  for (size_t i = 0; i < high.size(); ++i) {
    if (std::isfinite(high[i])) open.push_back(static_cast<int64_t>(i));
  }
  return open;
}

// Wins and norms as the exact problem has them.
void judge_exactly(const CrossProblem& exact,
                   const CrossRung& rung,
                   double cap,
                   CrossSolution& solution) {
  const int64_t n = exact.size();
  std::vector<char> is_won(static_cast<size_t>(n));  // vector<bool> shares bytes among threads
  std::vector<double> norm(static_cast<size_t>(n));
  run_parts(n, [&](int64_t i) {
    const at::NoGradGuard no_grad;
    const size_t k = static_cast<size_t>(i);
    const CrossProblem one = exact.select(at::tensor({i}, at::kLong));
    const CrossRun run = one.run(solution.delta.narrow(0, i, 1), rung.projected);
    norm[k] = run.effective_norm().item<double>();
    is_won[k] =
        (run.is_argmax == one.is_real()).all().item<bool>() && norm[k] <= cap * (1 + kRounding);
  });
  for (size_t i = 0; i < norm.size(); ++i) {
    solution.is_won[i] = solution.is_won[i] && is_won[i] != 0;
    solution.norm[static_cast<int64_t>(i)] = norm[i];
  }
}

}  // namespace

AnswerBudgets minimal_answer_budgets(const CrossProblem& problem,
                                     const CrossRung& rung,
                                     const CrossMinimalOptions& options) {
  CrossSolverOptions search;
  search.budget = options.cap;
  search.max_steps = options.max_steps;
  search.lr = options.lr;
  CrossSolution first = solve_cross(problem, rung, search);
  std::vector<bool> is_lost = first.is_won;
  if (options.exact) judge_exactly(*options.exact, rung, options.cap, first);
  for (size_t i = 0; i < is_lost.size(); ++i) is_lost[i] = is_lost[i] && !first.is_won[i];
  std::vector<double> high, low;
  for (int64_t i = 0; i < problem.size(); ++i) {
    const double norm = first.norm[i].item<double>();
    high.push_back(first.is_won[static_cast<size_t>(i)] ? norm
                                                        : std::numeric_limits<double>::infinity());
    low.push_back(norm * kSmallestShare);
  }
  const std::vector<int64_t> open = open_examples(high);
  if (open.empty()) return {high, is_lost};
  const at::Tensor index = at::tensor(open, at::kLong);
  const CrossProblem left = problem.select(index);
  for (int64_t round = 0; round < options.rounds; ++round) {
    std::vector<double> tried;
    for (const int64_t i : open)
      tried.push_back(std::sqrt(low[static_cast<size_t>(i)] * high[static_cast<size_t>(i)]));
    search.budgets = at::tensor(tried, at::kDouble).to(at::kFloat);
    CrossSolution solution = solve_cross(left, rung, search);
    if (options.exact) judge_exactly(options.exact->select(index), rung, options.cap, solution);
    for (size_t k = 0; k < open.size(); ++k) {
      const size_t i = static_cast<size_t>(open[k]);
      if (solution.is_won[k])
        high[i] = std::min(high[i], solution.norm[static_cast<int64_t>(k)].item<double>());
      else
        low[i] = tried[k];
    }
  }
  return {high, is_lost};
}

std::vector<double> answer_gaps(const CrossProblem& problem) {
  std::vector<double> gaps(static_cast<size_t>(problem.size()));
  run_parts(problem.size(), [&](int64_t i) {
    const at::NoGradGuard no_grad;
    const CrossProblem one = problem.select(at::tensor({i}, at::kLong));
    const at::Tensor logits = one.run(one.zero_delta(), Span::kNone).logits;
    const at::Tensor target = logits.gather(-1, one.targets().unsqueeze(-1)).squeeze(-1);
    const at::Tensor deficit = (logits.amax(-1) - target) * one.is_real();
    gaps[static_cast<size_t>(i)] =
        deficit.sum().item<double>() / one.is_real().sum().item<double>();
  });
  return gaps;
}

}  // namespace rebound
