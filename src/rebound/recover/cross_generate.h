// Greedy answers under the clamps with a perturbation in place, and what the protected readings did
// meanwhile. Every example runs beside a defended twin that is fed the same tokens (unless told
// otherwise): the twin gives the defended readings during generation, and h_def to forward
// projection, which stays on for the whole answer (the perturbation itself ends after its rows).
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "rebound/recover/cross_problem.h"

namespace rebound {

struct AttackedAnswerOptions {
  int64_t max_new_tokens = 96;
  // Without, generating costs half; drift and norms stay NaN, and nothing can be projected.
  bool has_twin = true;
  std::set<int64_t> stop_tokens;
};

struct AttackedAnswers {
  std::vector<std::vector<int64_t>> tokens;  // without the stop token
  // Over the positions from the first perturbed one to the last generated one, all sites.
  std::vector<double> drift_rel;       // |reading - twin's| / |twin's|
  std::vector<double> norm;            // of the effective perturbation, projection included
  std::vector<double> norm_after;      // the share of it after delta's rows
};

// `prompts` are those of the problem, in its order; delta as in CrossProblem. ConfigError for a
// projection without the twin.
AttackedAnswers generate_attacked(const Transformer& model, const ClampPlan& plan,
                                  const std::vector<std::vector<int64_t>>& prompts, const at::Tensor& delta,
                                  Span projected, const AttackedAnswerOptions& options);

}  // namespace rebound
