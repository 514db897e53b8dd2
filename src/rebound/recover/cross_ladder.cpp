#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/recover/cross_solver.h"

namespace rebound {

const std::vector<CrossRung>& cross_ladder() {
  static const std::vector<CrossRung> rungs = {
      {.name = "none"},
      {.name = "penalty", .penalty_weight = 10},
      {.name = "jacobian_sampled", .jacobian = JacobianUse::kSampled, .penalty_weight = 200, .is_published = true},
      {.name = "jacobian", .jacobian = JacobianUse::kExact, .is_first_site_only = true},
      {.name = "first_site", .is_first_site_only = true},
      {.name = "forward_projection", .projected = Span::kEncoder},
      {.name = "forward_projection_decoder", .projected = Span::kEncoderDecoder},
  };
  return rungs;
}

const CrossRung& cross_rung_of(const std::string& name) {
  std::string known;
  for (const CrossRung& rung : cross_ladder()) {
    if (rung.name == name) return rung;
    known += (known.empty() ? "" : ", ") + rung.name;
  }
  throw ConfigError(concat("constraint: got \"", name, "\", expected one of: ", known));
}

void CrossSolverOptions::validate() const {
  require<ConfigError>(budget > 0, "budget: got ", budget, ", expected > 0");
  require<ConfigError>(max_steps >= 0, "steps: got ", max_steps, ", expected >= 0");
  require<ConfigError>(lr > 0, "lr: got ", lr, ", expected > 0");
  require<ConfigError>(examples_at_once > 0, "examples_at_once: got ", examples_at_once, ", expected > 0");
}

CrossSolution solve_published(const CrossProblem& problem, const CrossSolverOptions& options,
                              const PublishedStages& stages) {
  const CrossRung& rung = cross_rung_of("jacobian_sampled");
  CrossSolverOptions first = options;
  first.objective = options.objective;
  first.objective.answer = 0;
  first.objective.anti_refusal = 0.2;
  first.objective.first_margin = 0.1;
  first.objective.first_token = 4;
  first.objective.prefix = 2;
  first.budget = stages.budget_first;
  first.max_steps = stages.steps_first;
  first.lr = stages.lr_first;
  first.rows = CrossRows::kFirst;
  const CrossSolution opening = solve_cross(problem, rung, first);

  CrossSolverOptions second = options;
  second.objective.answer = 5;
  second.objective.anti_refusal = 0.1;
  second.budget = stages.budget_answer;
  second.max_steps = stages.steps_answer;
  second.lr = stages.lr_answer;
  second.rows = CrossRows::kAfterFirst;
  second.fixed = opening.delta;
  CrossSolution solution = solve_cross(problem, rung, second);
  for (TraceEntry& entry : solution.trace)
    entry.step += opening.steps[static_cast<size_t>(entry.example)];
  solution.trace.insert(solution.trace.begin(), opening.trace.begin(), opening.trace.end());
  for (size_t i = 0; i < solution.steps.size(); ++i) solution.steps[i] += opening.steps[i];
  return solution;
}

}  // namespace rebound
