// The smallest norm with which a search writes a whole target answer, per example: the search at
// the cap first, then bisection of the norm on a logarithmic scale between the last loss (at first
// an eighth of the norm it took) and the last win. What is known is that the result wins: an upper
// bound. Where the search runs in rounded numbers, wins count as the exact problem has them.
#pragma once

#include <vector>

#include "rebound/recover/cross_solver.h"

namespace rebound {

struct CrossMinimalOptions {
  double cap = 40;     // beyond it a budget is censored
  int64_t rounds = 2;  // of bisection
  int64_t max_steps = 24;
  double lr = 0.1;
  // The same answers in float32: a win counts only where it is one there, with its norm there.
  // Null: the problem is exact itself.
  const CrossProblem* exact = nullptr;
};

struct AnswerBudgets {
  std::vector<double> norm;   // [batch]; infinity where the search at the cap did not win
  std::vector<bool> is_lost;  // [batch] it won, but not in the exact problem
};

AnswerBudgets minimal_answer_budgets(const CrossProblem& problem,
                                     const CrossRung& rung,
                                     const CrossMinimalOptions& options);

// How far each target is from being written without a perturbation: the mean over its tokens of the
// greedy token's logit minus the target's, nats. [batch]
std::vector<double> answer_gaps(const CrossProblem& problem);

}  // namespace rebound
