#include "rebound/recover/minimal_budget.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "rebound/base/error.h"

namespace rebound {

void MinimalBudgetOptions::validate() const {
  require<ConfigError>(cap > 0, "MinimalBudgetOptions.cap: got ", cap, ", expected > 0");
  require<ConfigError>(rounds >= 0, "MinimalBudgetOptions.rounds: got ", rounds, ", expected >= 0");
}

std::vector<double> minimal_budgets(const Problem& problem,
                                    const Constraint& constraint,
                                    const MinimalBudgetOptions& options) {
  options.validate();
  constexpr double kLowestShare = 1e-3;
  const SolverOptions solver{.max_steps = options.max_steps, .lr = options.lr, .stop = StopRule::kAtGoal};
  const size_t n = static_cast<size_t>(problem.size());
  std::vector<double> low(n, options.cap * kLowestShare);
  std::vector<double> high(n, std::numeric_limits<double>::infinity());
  std::vector<int64_t> open(n);
  for (size_t i = 0; i < n; ++i) open[i] = static_cast<int64_t>(i);
  for (int64_t round = 0; round <= options.rounds && !open.empty(); ++round) {
    Problem part = problem.select(at::tensor(open, at::kLong).to(problem.budget.device()));
    std::vector<float> budgets;
    for (const int64_t i : open) {
      const size_t at = static_cast<size_t>(i);
      budgets.push_back(static_cast<float>(round == 0 ? options.cap : std::sqrt(low[at] * high[at])));
    }
    part.budget = at::tensor(budgets).to(problem.budget.device());
    const Solution solution = solve(part, constraint, solver);
    std::vector<int64_t> next;
    for (size_t j = 0; j < open.size(); ++j) {
      const size_t i = static_cast<size_t>(open[j]);
      if (solution.is_won[j]) {
        // A win without a step (the defended run already wins) needs no budget.
        high[i] = solution.delta[static_cast<int64_t>(j)].norm().item<double>();
        if (high[i] > low[i]) next.push_back(open[j]);
      } else if (round > 0) {
        low[i] = budgets[j];
        next.push_back(open[j]);
      }
    }
    open = std::move(next);
  }
  return high;
}

}  // namespace rebound
