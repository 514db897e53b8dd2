#include "rebound/recover/minimal_budget.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/recover/norms.h"
#include "rebound/recover/slope.h"

namespace rebound {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> read_column(const at::Tensor& tensor) {
  const at::Tensor values = tensor.cpu().to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

// [batch] of perturbations in the exact problem, the examples shared out among the threads.
at::Tensor exact_scores(const Problem& exact, const at::Tensor& delta) {
  const int64_t n = exact.size(), count = std::min(n, worker_count());
  const auto longs = exact.budget.options().dtype(at::kLong);
  std::vector<at::Tensor> scores(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    const at::NoGradGuard no_grad;
    const int64_t first = n * i / count, end = n * (i + 1) / count;
    const Problem part = exact.select(at::arange(first, end, longs));
    const at::Tensor mine = delta.slice(0, first, end);
    scores[static_cast<size_t>(i)] = part.evaluate(part.perturbed_value(mine), mine).score;
  });
  return at::cat(scores);
}

// Smallest winning norm that successive linearisation meets under the budget, and in `any` the
// examples that won at all; only wins in the exact problem (null: none is asked) have a norm.
std::vector<double> linear_budgets(const Problem& given,
                                   const Constraint& constraint,
                                   const MinimalBudgetOptions& options,
                                   std::vector<bool>& any) {
  constexpr double kOvershoot = 2e-3;  // of the gap: aim past the goal, not at it
  const at::NoGradGuard no_grad;
  Problem problem = given;
  problem.objective = Objective::kLogitDiff;
  const ParallelSlope slope(problem, {});
  const int64_t n = problem.size(), rows = problem.perturbed.size(1), d = problem.model->d_model();
  at::Tensor delta = at::zeros({n, rows, d}, problem.segment.resid().options());
  at::Tensor best = at::full({n}, kInfinity, problem.budget.options()), aim;
  at::Tensor has_won = at::zeros({n}, best.options().dtype(at::kBool));
  for (int64_t step = 0; step <= options.linear_steps; ++step) {
    const Slope now = slope.at(delta);
    if (!aim.defined())
      aim = problem.contests.goal + kOvershoot * (problem.contests.goal - now.score).abs() + 1e-6;
    at::Tensor is_won = now.score > problem.contests.goal;
    has_won = has_won | is_won;
    if (options.exact && is_won.any().item<bool>()) {
      is_won = is_won & (exact_scores(*options.exact, delta) > problem.contests.goal);
    }
    best = at::where(is_won, at::minimum(best, norms_of(delta)), best);
    const at::Tensor uphill = constraint.project(constraint.filter_gradient(-now.gradient) *
                                                 problem.perturbed.unsqueeze(-1));
    const at::Tensor gain = aim - now.score + (uphill * delta).sum({1, 2});
    const at::Tensor scale = gain / uphill.square().sum({1, 2}).clamp_min(1e-30);
    delta = capped(at::nan_to_num(uphill * scale.view({-1, 1, 1})), problem.budget);
  }
  for (int64_t i = 0; i < n; ++i) any[static_cast<size_t>(i)] = has_won[i].item<bool>();
  return read_column(best);
}

class Bisection {
 public:
  Bisection(const Problem& problem,
            const Constraint& constraint,
            const MinimalBudgetOptions& options)
      : problem_(problem),
        constraint_(constraint),
        options_(options),
        high_(static_cast<size_t>(problem.size()), kInfinity),
        low_(high_.size(), 0),
        has_won_(high_.size(), false) {
    problem_.budget = at::full_like(problem.budget, options.cap);
  }

  MinimalBudgets run() {
    if (constraint_.rung().penalty_weight == 0) {
      high_ = linear_budgets(problem_, constraint_, options_, has_won_);
    }
    attack(examples([&](size_t i) { return std::isinf(high_[i]); }),
           [&](size_t) { return options_.cap; });
    const double smallest = options_.cap * 1e-6;
    for (size_t i = 0; i < high_.size(); ++i) low_[i] = high_[i] / 2;
    for (int64_t round = 0; round < options_.rounds; ++round) {
      attack(examples([&](size_t i) { return std::isfinite(high_[i]) && high_[i] > smallest; }),
             [&](size_t i) { return std::sqrt(low_[i] * high_[i]); });
      // `low` was a guess until an attack lost there.
      for (size_t i = 0; i < high_.size(); ++i) low_[i] = std::min(low_[i], high_[i] / 1.1);
    }
    MinimalBudgets found{high_, has_won_};
    for (size_t i = 0; i < high_.size(); ++i) {
      found.is_lost[i] = has_won_[i] && std::isinf(high_[i]);
    }
    return found;
  }

 private:
  template <class Predicate>
  std::vector<int64_t> examples(const Predicate& is_wanted) const {
    std::vector<int64_t> out;
    for (size_t i = 0; i < high_.size(); ++i) {
      if (is_wanted(i)) out.push_back(static_cast<int64_t>(i));
    }
    return out;
  }

  template <class BudgetOf>
  void attack(const std::vector<int64_t>& open, const BudgetOf& budget_of) {
    if (open.empty()) return;
    const at::Tensor index = at::tensor(open, at::kLong).to(problem_.budget.device());
    Problem part = problem_.select(index);
    std::vector<float> budgets;
    for (const int64_t i : open)
      budgets.push_back(static_cast<float>(budget_of(static_cast<size_t>(i))));
    part.budget = at::tensor(budgets).to(problem_.budget.device());
    // The first step of Adam has norm lr sqrt(entries) whatever the gradient.
    const at::Tensor entries =
        (part.perturbed.sum(1) * problem_.model->d_model()).clamp_min(1).to(part.budget);
    const SolverOptions solver{.max_steps = options_.max_steps,
                               .lr = options_.lr,
                               .lrs = (0.5 * part.budget / entries.sqrt()).clamp_max(options_.lr),
                               .stop = StopRule::kAtGoal};
    const Solution solution = solve(part, constraint_, solver);
    at::Tensor exact;
    if (options_.exact) exact = exact_scores(options_.exact->select(index), solution.delta);
    for (size_t j = 0; j < open.size(); ++j) {
      const size_t i = static_cast<size_t>(open[j]);
      const int64_t example = static_cast<int64_t>(j);
      if (solution.is_won[j]) has_won_[i] = true;
      const bool is_exact =
          !exact.defined() || (exact[example] > part.contests.goal[example]).item<bool>();
      if (solution.is_won[j] && is_exact) {
        high_[i] = std::min(high_[i], solution.delta[example].norm().item<double>());
      } else {
        low_[i] = std::max(low_[i], static_cast<double>(budgets[j]));
      }
    }
  }

  Problem problem_;
  const Constraint& constraint_;
  const MinimalBudgetOptions& options_;
  std::vector<double> high_, low_;
  std::vector<bool> has_won_;
};

}  // namespace

void MinimalBudgetOptions::validate() const {
  require<ConfigError>(cap > 0, "MinimalBudgetOptions.cap: got ", cap, ", expected > 0");
  require<ConfigError>(rounds >= 0, "MinimalBudgetOptions.rounds: got ", rounds, ", expected >= 0");
  require<ConfigError>(linear_steps >= 0,
                       "MinimalBudgetOptions.linear_steps: got ",
                       linear_steps,
                       ", expected >= 0");
}

MinimalBudgets minimal_budgets(const Problem& problem,
                               const Constraint& constraint,
                               const MinimalBudgetOptions& options) {
  options.validate();
  return Bisection(problem, constraint, options).run();
}

}  // namespace rebound
