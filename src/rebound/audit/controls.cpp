#include "rebound/audit/controls.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "rebound/audit/inject.h"
#include "rebound/audit/power.h"
#include "rebound/base/error.h"
#include "rebound/base/rng.h"

namespace rebound {
namespace {

using Runner = std::function<FinishedBatch(const BatchContext&, const RowEnvironment&)>;

Row control_row(const RowSpec& spec, const std::string& control, Runner run) {
  RowSummary head = head_of(spec);
  head.name = control + "/" + head.name;
  head.control = control;
  return {head, [run](const BatchContext& context, const RowEnvironment& environment) {
            const auto started = std::chrono::steady_clock::now();
            FinishedBatch finished = run(context, environment);
            const double seconds =
                std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
            for (StoredResult& result : finished.results) {
              result.seconds = seconds / static_cast<double>(finished.results.size());
              if (result.termination.empty()) result.termination = "no_optimiser";
            }
            return finished;
          }};
}

Problem recovery_problem(const RowSpec& spec, const BatchContext& context) {
  return context.problem(context.recovery_contests(Objective::kLogitDiff), spec.threat_model,
                         Objective::kLogitDiff, spec.budget);
}

at::Tensor nothing(const BatchContext& context) { return at::zeros_like(context.defended.resid()); }

FinishedBatch run_clamp_only(const RowSpec& spec, const BatchContext& context) {
  FinishedBatch finished;
  finished.results = results_of(context, recovery_problem(spec, context), nothing(context), false);
  return finished;
}

// (I - Q Q^T)(h_base - h_def), at its own norm.
FinishedBatch run_projected_undo(const RowSpec& spec, const BatchContext& context) {
  const Constraint constraint(rung_of(spec.constraint), *context.subject->sae, context.defence->features());
  const at::Tensor undo = (context.base.resid() - context.defended.resid()) * context.perturbed.unsqueeze(-1);
  FinishedBatch finished;
  finished.results = results_of(context, recovery_problem(spec, context), constraint.project(undo), true);
  return finished;
}

at::Tensor random_delta(const BatchContext& context, const Constraint& constraint, uint64_t seed, int64_t draw) {
  at::Tensor delta = nothing(context);
  for (int64_t i = 0; i < context.size(); ++i) {
    Rng rng({seed, static_cast<uint64_t>(context.flips[static_cast<size_t>(i)].index),
             static_cast<uint64_t>(draw), 0x72616e64});
    delta[i] = at::tensor(rng.normals(delta[i].numel())).view(delta[i].sizes());
  }
  return constraint.project(delta * context.perturbed.unsqueeze(-1));
}

at::Tensor scaled_to(const at::Tensor& delta, const at::Tensor& norm) {
  return delta * (norm / delta.flatten(1).norm(2, -1).clamp_min(1e-12)).view({-1, 1, 1});
}

// The same norms as the headline row's perturbations.
FinishedBatch run_random(const RowSpec& spec, const BatchContext& context, const RowEnvironment& environment) {
  const Constraint constraint(rung_of(spec.constraint), *context.subject->sae, context.defence->features());
  const at::Tensor attack = load_delta(environment.store, spec.name(), environment.batch_index);
  const Problem problem = recovery_problem(spec, context);
  const at::Tensor norm = attack.defined() ? attack.flatten(1).norm(2, -1).to(problem.budget.device())
                                           : at::full_like(problem.budget, spec.budget);
  FinishedBatch finished;
  for (int64_t draw = 0; draw < environment.spec.controls.random_draws; ++draw) {
    const at::Tensor delta = scaled_to(random_delta(context, constraint, environment.spec.seed, draw), norm);
    for (StoredResult& result : results_of(context, problem, delta, false)) {
      result.variant = concat("draw ", draw);
      finished.results.push_back(std::move(result));
    }
  }
  return finished;
}

// The clamp of the spec, and an attack whose constraint comes from other features of equal firing
// rate: if that recovers as much, the choice of features does not matter.
FinishedBatch run_random_features(const RowSpec& spec, const BatchContext& context,
                                  const RowEnvironment& environment) {
  const Sae& sae = *context.subject->sae;
  const Sae::Features other = matched_random_features(context.subject->statistics.firing_rate,
                                                      context.defence->features(), environment.spec.seed);
  if (other.empty()) return {};
  const Constraint constraint(rung_of(spec.constraint), sae, other);
  const Problem problem = recovery_problem(spec, context);
  const Solution solution = solve(problem, constraint, {.max_steps = spec.steps, .lr = spec.lr, .stop = StopRule::kAtGoal});

  std::vector<FeatureEdit> edits = context.defence->edits();
  edits.resize(1);
  edits[0].features = other;
  const Defence random_clamp(context.subject->sae, edits, context.defence->sink_norm());
  std::vector<const Prompt*> prompts;
  for (const ScoredExample& flip : context.flips) prompts.push_back(flip.prompt);
  const at::Tensor clamped = logit_differences(*context.subject->model, scored(prompts), random_clamp.hooks());

  FinishedBatch finished;
  finished.results = results_of(context, problem, solution.delta, false);
  for (size_t i = 0; i < finished.results.size(); ++i) {
    finished.results[i].steps = solution.steps[i];
    finished.results[i].termination = to_string(solution.termination[i]);
    finished.results[i].figures["flips_under_random_clamp"] =
        clamped[static_cast<int64_t>(i)].item<double>() > 0 ? 0.0 : 1.0;
  }
  return finished;
}

// The headline's perturbation on the undefended run: "recovered" counts prompts whose score it
// raises there at least as much as under the clamp, that is, a generic booster.
FinishedBatch run_unclamped(const RowSpec& spec, const BatchContext& context, const RowEnvironment& environment) {
  const at::Tensor stored = load_delta(environment.store, spec.name(), environment.batch_index);
  if (!stored.defined()) return {};
  Problem problem = recovery_problem(spec, context);
  const at::Tensor delta = stored.to(problem.budget.device());
  const at::Tensor clamped = problem.evaluate(problem.perturbed_value(delta), delta).score;
  problem.segment = context.base;
  // Whatever the threat model: no clamp is applied here.
  const at::Tensor value = context.base.resid() + delta * problem.perturbed.unsqueeze(-1);
  const at::Tensor unclamped = problem.evaluate(value, delta).score;
  FinishedBatch finished;
  for (int64_t i = 0; i < context.size(); ++i) {
    const ScoredExample& flip = context.flips[static_cast<size_t>(i)];
    StoredResult result;
    result.prompt = flip.index;
    result.score = unclamped[i].item<double>();
    result.recheck_score = kNotMeasured;
    const double gain = result.score - flip.base_score;
    const double gain_clamped = clamped[i].item<double>() - flip.defended_score;
    result.recovered = gain >= gain_clamped;
    result.figures = {{"gain_unclamped", gain}, {"gain_clamped", gain_clamped},
                      {"norm", delta[i].norm().item<double>()}};
    finished.results.push_back(std::move(result));
  }
  return finished;
}

RowSpec shared_spec(const RowSpec& headline, double budget) {
  RowSpec spec = headline;
  spec.scope = RowScope::kShared;
  spec.budget = budget;
  spec.steps = std::min<int64_t>(headline.steps, 30);
  return spec;
}

// One shared vector fitted on the training flips to a wrong rule - raise one fixed unrelated answer
// over the wrong one - and tested on the same held-out prompts. Of all unrelated answers the one
// whose mean starting gap is nearest to the right rule's.
FinishedBatch run_wrong_rule(const RowSpec& spec, const BatchContext& context, const RowEnvironment& environment) {
  const std::vector<int64_t>& pool = context.subject->prompts.unrelated_ids;
  if (!environment.train || pool.size() < 3) return {};
  const BatchContext& train = *environment.train;
  const Contests right = train.recovery_contests(Objective::kLogitDiff);
  const at::Tensor ids = at::tensor(pool, at::kLong).to(right.target.device());
  const at::Tensor distance = (train.defended_logits.index_select(1, ids).mean(0) -
                               train.defended_logits.gather(1, right.target.unsqueeze(1)).mean()).abs();
  const int64_t target = ids[distance.argmin().item<int64_t>()].item<int64_t>();
  const auto contests = [&](const BatchContext& on) {
    Contests wrong = on.recovery_contests(Objective::kLogitDiff);
    wrong.target = at::full_like(wrong.target, target);
    return wrong;
  };
  const std::string key = concat("wrong_rule/", spec.name());
  at::Tensor delta = load_delta(environment.store, key, environment.fold);
  if (!delta.defined()) {
    const Constraint constraint(rung_of(spec.constraint), *train.subject->sae, train.defence->features());
    const Problem fit = train.problem(contests(train), spec.threat_model, Objective::kLogitDiff, spec.budget);
    delta = solve(fit, constraint, {.max_steps = spec.steps, .lr = spec.lr, .is_shared = true}).delta;
    store_delta(environment.store, key, environment.fold, delta);
  }
  delta = delta.to(right.target.device());
  FinishedBatch finished;
  finished.results = results_of(
      context, context.problem(contests(context), spec.threat_model, Objective::kLogitDiff, spec.budget), delta, false);
  for (size_t i = 0; i < finished.results.size(); ++i) {
    StoredResult& result = finished.results[i];
    result.variant = context.subject->token_text(target);
    result.termination = "held_out";
    // A prompt that holds the fixed name itself is no test of the wrong rule.
    const Prompt& prompt = *context.flips[i].prompt;
    result.figures["is_own_answer"] = target == prompt.correct_id || target == prompt.wrong_id ||
                                       std::count(prompt.rival_ids.begin(), prompt.rival_ids.end(), target) > 0;
  }
  return finished;
}

FinishedBatch run_shared_random(const RowSpec& spec, const BatchContext& context, const RowEnvironment& environment) {
  const Constraint constraint(rung_of(spec.constraint), *context.subject->sae, context.defence->features());
  const Problem problem = recovery_problem(spec, context);
  FinishedBatch finished;
  for (int64_t draw = 0; draw < environment.spec.controls.random_draws; ++draw) {
    Rng rng({environment.spec.seed, static_cast<uint64_t>(draw), 0x73726e64});
    const int64_t d = problem.model->d_model();
    const at::Tensor drawn = at::tensor(rng.normals(d)).to(problem.budget.device());
    const at::Tensor noise = constraint.project(drawn.view({1, 1, d}));
    for (StoredResult& result : results_of(context, problem, noise / noise.norm() * spec.budget, false)) {
      result.variant = concat("draw ", draw);
      finished.results.push_back(std::move(result));
    }
  }
  return finished;
}

}  // namespace

std::vector<Row> control_rows(const AuditSpec& spec) {
  const RowSpec headline = spec.headline();
  const auto ignoring_store = [](auto run, const RowSpec& row) {
    return [run, row](const BatchContext& context, const RowEnvironment&) { return run(row, context); };
  };
  const auto with_store = [](auto run, const RowSpec& row) {
    return [run, row](const BatchContext& context, const RowEnvironment& environment) {
      return run(row, context, environment);
    };
  };
  std::vector<Row> rows = {control_row(headline, "clamp_only", ignoring_store(run_clamp_only, headline))};
  if (!spec.controls.is_on) return rows;
  for (const char* rung : {"encoder", "encoder_decoder"}) {
    RowSpec undo = headline;
    undo.constraint = rung;
    rows.push_back(control_row(undo, "projected_undo", ignoring_store(run_projected_undo, undo)));
  }
  const auto add_wrong_rule_and_random = [&](const RowSpec& shared) {
    Row wrong = control_row(shared, "inject", with_store(run_wrong_rule, shared));
    wrong.head.target = "wrong_rule";
    rows.push_back(std::move(wrong));
    rows.push_back(control_row(shared, "random", with_store(run_shared_random, shared)));
  };
  if (headline.scope == RowScope::kShared) {  // the others need a perturbation of each prompt
    add_wrong_rule_and_random(headline);
    return rows;
  }
  rows.push_back(control_row(headline, "random", with_store(run_random, headline)));
  rows.push_back(control_row(headline, "unclamped", with_store(run_unclamped, headline)));
  rows.push_back(power_row(spec));
  rows.push_back(control_row(headline, "random_features", with_store(run_random_features, headline)));
  for (const InjectTarget target : {InjectTarget::kUnrelated, InjectTarget::kOtherName, InjectTarget::kGapMatched}) {
    rows.push_back(inject_row(spec, target));
  }
  if (spec.perturb.kind != PositionSet::Kind::kAnswer) return rows;
  for (const double budget : spec.controls.shared_budgets) {
    const RowSpec shared = shared_spec(headline, budget);
    rows.push_back(shared_row(shared));
    add_wrong_rule_and_random(shared);
  }
  return rows;
}

}  // namespace rebound
