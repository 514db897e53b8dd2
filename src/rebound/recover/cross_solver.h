// The cross-layer ladder and its search (method.md section 2, rungs 5 to 7).
//
//   none                         norm cap only
//   penalty                      loss + weight * relative drift
//   jacobian_sampled             the published algorithm: the objective's gradient is projected off a
//                                Gram-Schmidt basis of 8 Gaussian vector-Jacobian probes and one along the
//                                drift, the drift penalty's is added, Adam, then 5 plain gradient steps
//                                on the drift; the checkpoint with drift <= 0.03 and the best objective
//   jacobian                     perturbation at the first site alone, each gradient projected off the
//                                row space of the Jacobian of all readings (LSMR), Gauss-Newton
//                                corrections afterwards
//   first_site                   that attacker without the constraint
//   forward_projection           sites wrapped so that protected readings cannot move (cross_problem.h)
//   forward_projection_decoder   with the write rows projected out too
//
// Drift: |reading - defended|_2 over all sites and rows; relative to |defended|_2 (in the penalty at least to
// the reading of a random residual as long: ablated readings are ~0). The published rung reads after the
// activation, the others before it. Examples are independent of each other. NaN ends an example; it does not throw.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "rebound/recover/adam.h"
#include "rebound/recover/cross_problem.h"
#include "rebound/recover/solver.h"

namespace rebound {

enum class JacobianUse { kNone, kSampled, kExact };

struct CrossRung {
  std::string name;
  Span projected = Span::kNone;
  JacobianUse jacobian = JacobianUse::kNone;
  double penalty_weight = 0;      // of the relative drift, squared, mean over sites
  bool is_first_site_only = false;
  bool is_published = false;      // per-coordinate Adam, checkpoints, drift after the activation
};

const std::vector<CrossRung>& cross_ladder();
const CrossRung& cross_rung_of(const std::string& name);  // ConfigError naming the rungs

// What is maximised: weighted sum over an answer's scored rows.
struct AnswerObjective {
  double answer = 1;        // mean log-probability of the target answer
  double prefix = 0;        // of its first `prefix_tokens`
  double first_token = 0;   // of its first token
  double anti_refusal = 0;  // prefix log-probability minus the best refusal's at the same rows
  double first_margin = 0;  // logit of the first token minus the best refusal's
  int64_t prefix_tokens = 8;
  std::vector<std::vector<int64_t>> refusals;  // token ids of refusal openings

  at::Tensor value(const CrossProblem& problem, const CrossRun& run) const;  // [batch]
};

enum class CrossRows { kAll, kFirst, kAfterFirst };  // which rows delta may change

struct CrossSolverOptions {
  // Changes results.
  AnswerObjective objective;
  double budget = 40;  // cap on the norm of the effective perturbation
  at::Tensor budgets;  // [batch] one for each example in place of `budget`; usually undefined
  int64_t max_steps = 80;
  double lr = 0.03;
  AdamOptions adam;
  StopRule stop = StopRule::kAtGoal;  // the goal: greedy decoding would give the whole target
  CrossRows rows = CrossRows::kAll;
  at::Tensor fixed;   // [batch, sites, rows, d_model] added to delta and not changed; outside the cap
  uint64_t seed = 0;  // of the probes
  // The published rung's settings.
  int64_t probes = 8;
  int64_t correction_steps = 5;
  double correction_lr = 0.05;
  int64_t checkpoint_every = 10;
  double checkpoint_drift = 0.03;
  double checkpoint_penalty = 10;  // of relative drift where no checkpoint has so little
  // Of the exact Jacobian.
  int64_t lsmr_iterations = 30;
  int64_t newton_steps = 4;
  double newton_tolerance = 1e-3;  // drift at which corrections end, relative to the penalty's scale
  // At most so many searched together on one thread; fewer when every thread gets some. Changes
  // cost only: 200 rows are enough for a product, and more leave the cache (bench/recover).
  int64_t examples_at_once = 4;
  std::function<void(int64_t steps)> on_progress;  // called with steps done, from several threads
  // Changes cost only: score, drift and norm of every step, before its update, are kept.
  bool keep_trace = false;

  void validate() const;  // ConfigError
};

struct CrossSolution {
  at::Tensor delta;  // [batch, sites, rows, d_model], `fixed` included
  at::Tensor score;  // [batch] mean log-probability of the target answer
  at::Tensor norm;   // [batch] of the effective perturbation
  at::Tensor drift_rel;  // [batch] before the activation
  std::vector<bool> is_won;  // every target token is the greedy choice
  std::vector<Termination> termination;
  std::vector<int64_t> steps;
  // drift_pre: |shift of the readings| over all sites and rows, absolute. By parts of the batch;
  // within an example in the order of its steps.
  std::vector<TraceEntry> trace;
};

CrossSolution solve_cross(const CrossProblem& problem, const CrossRung& rung, const CrossSolverOptions& options);

// The published two stages: the first row alone towards the first tokens, then the rows of the answer
// with the first stage's delta kept. Steps, budgets and step sizes of both stages, as published; those
// of the options are not read.
struct PublishedStages {
  int64_t steps_first = 20, steps_answer = 80;
  double budget_first = 30, budget_answer = 40;
  double lr_first = 0.08, lr_answer = 0.03;
};
CrossSolution solve_published(const CrossProblem& problem, const CrossSolverOptions& options,
                              const PublishedStages& stages);

// delta times a factor of each example, so that its effective perturbation has the norm `budget` (to
// 1e-6, never above). A zero delta stays.
at::Tensor scaled_to_budget(const CrossProblem& problem, const at::Tensor& delta, Span projected, double budget);

// |shift| / |defended| per example, all sites and rows together; NaN where nothing but ablated readings
// is protected. [batch]
at::Tensor relative_drift(const CrossProblem& problem, const std::vector<at::Tensor>& reading);

}  // namespace rebound
