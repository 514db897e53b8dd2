// The smallest norm with which an attack wins, per example.
//
// 1. Successive linearisation towards the goal with the least norm, from delta = 0:
//      delta <- P g (goal - s + <P g, delta>) / |P g|^2,   s and g at the present delta
//    exact for a linear score (method.md section 7: gap / |P w|), a few steps otherwise. Where the
//    rung penalises, or no such delta wins under the cap, the solver's attack at the cap instead.
// 2. Bisection of the norm on a logarithmic scale from half of that, with the solver's attack at
//    each round: a win lowers `high` to the norm it took, a loss raises `low`.
//
// What is known is that the result wins: it is an upper bound on the true minimum. Where the search
// runs in rounded numbers a win counts only where it is one in the exact problem, too.
#pragma once

#include <vector>

#include "rebound/recover/solver.h"

namespace rebound {

struct MinimalBudgetOptions {
  // Changes results.
  double cap = 20;          // beyond it a budget is censored
  int64_t linear_steps = 8;
  int64_t rounds = 2;       // of bisection
  int64_t max_steps = 20;   // of the solver in each round
  double lr = 0.1;          // at most; each example's is kept below half the norm searched
  const Problem* exact = nullptr;  // the same examples in float32; null: the problem is exact itself
  void validate() const;
};

struct MinimalBudgets {
  std::vector<double> norm;   // [batch]; infinity where nothing under the cap won
  std::vector<bool> is_lost;  // [batch] something won, but nothing that wins in the exact problem
};

MinimalBudgets minimal_budgets(const Problem& problem,
                               const Constraint& constraint,
                               const MinimalBudgetOptions& options);

}  // namespace rebound
