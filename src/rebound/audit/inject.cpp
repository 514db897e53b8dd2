#include "rebound/audit/inject.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "rebound/audit/controls.h"
#include "rebound/base/rng.h"
#include "rebound/model/margin.h"
#include "rebound/recover/minimal_budget.h"

namespace rebound {
namespace {

std::vector<int64_t> unrelated_targets(const BatchContext& context, int64_t draw) {
  const std::vector<int64_t>& pool = context.subject->prompts.unrelated_ids;
  std::vector<int64_t> targets;
  for (const ScoredExample& flip : context.flips) {
    std::vector<int64_t> choices;
    const int64_t place = static_cast<int64_t>(targets.size());
    // Against the best of all tokens the present best has nothing to gain.
    const int64_t wrong = flip.prompt->wrong_id == kBestOther
                              ? context.defended_logits[place].argmax().item<int64_t>()
                              : flip.prompt->wrong_id;
    for (const int64_t id : pool) {
      const std::vector<int64_t>& rivals = flip.prompt->rival_ids;
      const bool is_rival = id == wrong || std::count(rivals.begin(), rivals.end(), id) > 0;
      if (id != flip.prompt->correct_id && !is_rival) choices.push_back(id);
    }
    Rng rng({static_cast<uint64_t>(flip.index), 0x696e6a});
    rng.shuffle(choices);
    // Where none is left, the prompt's own answer, which is no injection.
    targets.push_back(choices.empty() ? flip.prompt->correct_id
                                      : choices[static_cast<size_t>(draw) % choices.size()]);
  }
  return targets;
}

// Of all tokens but the two answers (kBestOther: but the answer and the best), the one whose
// defended logit is nearest to the correct one's.
std::vector<int64_t> gap_matched_targets(const BatchContext& context, const Contests& recovery) {
  const at::Tensor correct = context.defended_logits.gather(1, recovery.target.unsqueeze(1));
  at::Tensor distance = (context.defended_logits - correct).abs();
  const at::Tensor best = context.defended_logits.argmax(1);
  const at::Tensor rivals =
      recovery.rival.dim() == 1
          ? at::where(recovery.rival == kBestOther, best, recovery.rival).unsqueeze(1)
          : recovery.rival;
  for (const at::Tensor& answers : {recovery.target.unsqueeze(1), rivals}) {
    distance.scatter_(1, answers, std::numeric_limits<float>::infinity());
  }
  const at::Tensor nearest = distance.argmin(1).cpu().contiguous();
  return {nearest.data_ptr<int64_t>(), nearest.data_ptr<int64_t>() + nearest.numel()};
}

const char* name_of(InjectTarget target) {
  switch (target) {
    case InjectTarget::kUnrelated:
      return "unrelated";
    case InjectTarget::kOtherName:
      return "other_name";
    default:
      return "gap_matched";
  }
}

at::Tensor start_scores(const BatchContext& context, const Contests& contests) {
  return margins_of_logits(context.defended_logits, contests.target, contests.rival);
}

Contests joined(const std::vector<Contests>& all) {
  std::vector<at::Tensor> target, rival, goal;
  for (const Contests& contests : all) {
    target.push_back(contests.target);
    rival.push_back(contests.rival);
    goal.push_back(contests.goal);
  }
  return {at::cat(target), at::cat(rival), at::cat(goal)};
}

// One injection: flip `flip` towards the target of draw `draw`.
struct Injection {
  int64_t draw, flip;
};

// All draws together: draw d of flip i is example d * flips + i of `contests`, and those that are
// no injection, since a prompt had no other answer left, are not among `tried`.
struct InjectionBatch {
  Contests contests;
  std::vector<Injection> tried;
  at::Tensor index;  // of contests, int64
};

InjectionBatch injections(const BatchContext& context, InjectTarget target, int64_t draws) {
  const at::Tensor own = context.recovery_contests(Objective::kLogitDiff).target;
  std::vector<Contests> all;
  InjectionBatch batch;
  std::vector<int64_t> index;
  for (int64_t draw = 0; draw < draws; ++draw) {
    all.push_back(inject_contests(context, target, draw));
    const at::Tensor is_other = all.back().target != own;
    for (int64_t i = 0; i < context.size(); ++i) {
      if (!is_other[i].item<bool>()) continue;
      batch.tried.push_back({draw, i});
      index.push_back(draw * context.size() + i);
    }
  }
  batch.contests = joined(all);
  batch.index = at::tensor(index, at::kLong).to(own.device());
  return batch;
}

FinishedBatch run_inject(const RowSpec& spec,
                         InjectTarget target,
                         int64_t draws,
                         const BatchContext& context) {
  const auto started = std::chrono::steady_clock::now();
  const InjectionBatch batch = injections(context, target, draws);
  FinishedBatch finished;
  if (batch.tried.empty()) return finished;
  const Constraint constraint(
      rung_of(spec.constraint), *context.subject->sae, context.defence->features());
  const at::Tensor flips = at::arange(context.size(), at::kLong).repeat({draws});
  const Problem single = context.problem(context.recovery_contests(Objective::kLogitDiff),
                                         spec.threat_model,
                                         Objective::kLogitDiff,
                                         spec.budget);
  const auto towards_targets = [&](const Problem& of_flips) {
    Problem problem = of_flips.select(flips);
    problem.contests = batch.contests;
    return problem.select(batch.index);
  };
  const Problem problem = towards_targets(single);
  std::optional<Problem> exact = context.exact(single);
  if (exact) exact = towards_targets(*exact);
  const auto [budgets, is_lost] = minimal_budgets(problem,
                                                  constraint,
                                                  {.cap = spec.budget,
                                                   .max_steps = spec.steps,
                                                   .lr = spec.lr,
                                                   .exact = exact ? &*exact : nullptr});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const at::Tensor start =
      margins_of_logits(context.defended_logits.index_select(
                            0, flips.to(batch.index.device()).index_select(0, batch.index)),
                        problem.contests.target,
                        problem.contests.rival);
  for (size_t k = 0; k < batch.tried.size(); ++k) {
    const auto [draw, flip] = batch.tried[k];
    const int64_t example = static_cast<int64_t>(k);
    StoredResult result;
    result.prompt = context.flips[static_cast<size_t>(flip)].index;
    result.variant = concat(
        draw, ":", context.subject->token_text(problem.contests.target[example].item<int64_t>()));
    result.recovered = std::isfinite(budgets[k]);
    result.score = start[example].item<double>();
    result.recheck_score = kNotMeasured;
    result.steps = spec.steps;
    result.seconds = seconds / static_cast<double>(budgets.size());
    result.termination = result.recovered ? "goal" : "censored";
    result.figures["gap"] = problem.contests.goal[example].item<double>() - result.score;
    result.figures["minimal_budget"] = result.recovered ? Json(budgets[k]) : Json();
    result.figures["norm"] = result.figures["minimal_budget"];
    if (exact) result.figures["lost_in_float32"] = static_cast<bool>(is_lost[k]);
    finished.results.push_back(std::move(result));
  }
  return finished;
}

// As the row that it is compared with searches: the minimal budgets of recovery under the same
// constraint; without one, of the headline's step size.
RowSpec inject_spec(const AuditSpec& spec) {
  constexpr int64_t kSteps = 20;
  RowSpec row = spec.headline();
  row.kind = RowKind::kMinimalBudget;
  row.steps = kSteps;
  for (const RowSpec& recover : spec.rows) {
    if (recover.kind != RowKind::kMinimalBudget || recover.name() != row.name()) continue;
    row.steps = recover.steps;
    row.lr = recover.lr;
    break;
  }
  return row;
}

}  // namespace

Contests inject_contests(const BatchContext& context, InjectTarget target, int64_t draw) {
  const Contests recovery = context.recovery_contests(Objective::kLogitDiff);
  if (target == InjectTarget::kOtherName) {
    Contests swapped{recovery.rival, recovery.target, {}};
    const at::Tensor start = start_scores(context, swapped);
    swapped.goal = start + start;  // recovery starts at -start and must reach 0
    return swapped;
  }
  const auto ids = target == InjectTarget::kUnrelated ? unrelated_targets(context, draw)
                                                      : gap_matched_targets(context, recovery);
  return {at::tensor(ids, at::kLong).to(recovery.goal.device()),
          recovery.rival,
          at::zeros_like(recovery.goal)};
}

Row inject_row(const AuditSpec& spec, InjectTarget target) {
  const RowSpec row = inject_spec(spec);
  RowSummary head = head_of(row);
  head.name = concat("inject/", head.name, "/", name_of(target));
  head.control = "inject";
  head.target = name_of(target);
  const int64_t draws = target == InjectTarget::kUnrelated ? spec.controls.inject_targets : 1;
  return {head, [=](const BatchContext& context, const RowEnvironment&) {
            if (draws == 0) return FinishedBatch{};
            const Prompt& prompt = *context.flips.front().prompt;
            const bool has_other_name = prompt.wrong_id != kBestOther && prompt.rival_ids.empty();
            if (target == InjectTarget::kOtherName && !has_other_name) return FinishedBatch{};
            if (target == InjectTarget::kUnrelated &&
                context.subject->prompts.unrelated_ids.size() < 3) {
              return FinishedBatch{};
            }
            return run_inject(row, target, draws, context);
          }};
}

}  // namespace rebound
