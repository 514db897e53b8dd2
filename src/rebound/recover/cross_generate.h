// Greedy answers under the clamps with a perturbation in place, and what the protected readings did
// meanwhile. Every example runs beside a defended twin that is fed the same tokens (unless told
// otherwise): the twin gives the defended readings during generation, and h_def to forward
// projection, which stays on for the whole answer (the perturbation itself ends after its rows).
//
// What the projection adds counts, to the last token. Where that makes the perturbation of an
// answer larger than the budget, its delta is scaled down and the answer checked, or given again
// where it changed (decision 19).
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "rebound/recover/cross_problem.h"
#include "rebound/recover/cross_search.h"

namespace rebound {

struct AttackedAnswerOptions {
  int64_t max_new_tokens = 96;
  // Without, generating costs half; drift and norms stay NaN, and nothing can be projected.
  bool has_twin = true;
  std::set<int64_t> stop_tokens;
  double budget = 0;  // cap on `norm` under a projection; 0: none
};

struct AttackedAnswers {
  std::vector<std::vector<int64_t>> tokens;  // without the stop token
  // Over the positions from the first perturbed one to the last generated one, all sites.
  std::vector<double> drift_rel;   // |reading - twin's| / |twin's|, NaN where that is ~0
  std::vector<double> norm;        // of the effective perturbation, projection included
  std::vector<double> norm_after;  // the share of it after delta's rows
  // What delta was multiplied by to stay within the budget; 1: nothing. Where some tries did not do
  // it, `norm` of the last one is above.
  std::vector<double> scale;

  bool is_within(size_t i, double budget) const { return norm[i] <= budget * (1 + kBudgetSlack); }
};

// `prompts` are those of the problem, in its order; delta as in CrossProblem. ConfigError for a
// projection without the twin.
AttackedAnswers generate_attacked(const Transformer& model,
                                  const ClampPlan& plan,
                                  const std::vector<std::vector<int64_t>>& prompts,
                                  const at::Tensor& delta,
                                  Span projected,
                                  const AttackedAnswerOptions& options);

}  // namespace rebound
