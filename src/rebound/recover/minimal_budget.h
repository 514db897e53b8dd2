// The smallest norm with which an attack wins, per example, by bisection.
#pragma once

#include <vector>

#include "rebound/recover/solver.h"

namespace rebound {

struct MinimalBudgetOptions {
  // Changes results.
  double cap = 20;         // beyond it a budget is censored
  int64_t rounds = 8;      // of bisection, on a logarithmic scale
  int64_t max_steps = 30;  // of the solver in each round
  double lr = 0.1;
  void validate() const;
};

// Each round solves at sqrt(low * high), stopping at the goal; a win lowers `high` to the norm it
// took, a loss raises `low`. Starts from the cap and cap / 1000. Infinity where the cap loses.
// What the bisection knows is that `high` wins: results are upper bounds on the true minimum.
std::vector<double> minimal_budgets(const Problem& problem,
                                    const Constraint& constraint,
                                    const MinimalBudgetOptions& options);

}  // namespace rebound
