#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "rebound/audit/controls.h"
#include "rebound/audit/inject.h"
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
    targets.push_back(choices[static_cast<size_t>(draw) % choices.size()]);
  }
  return targets;
}

// Of all tokens but the two answers (kBestOther: but the answer and the best), the one whose defended logit is nearest to the correct one's.
std::vector<int64_t> gap_matched_targets(const BatchContext& context, const Contests& recovery) {
  const at::Tensor correct = context.defended_logits.gather(1, recovery.target.unsqueeze(1));
  at::Tensor distance = (context.defended_logits - correct).abs();
  const at::Tensor best = context.defended_logits.argmax(1);
  const at::Tensor rivals = recovery.rival.dim() == 1
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
    case InjectTarget::kUnrelated: return "unrelated";
    case InjectTarget::kOtherName: return "other_name";
    default: return "gap_matched";
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

// All draws are one batch: draw d of flip i is example d * flips + i.
FinishedBatch run_inject(const RowSpec& spec, InjectTarget target, int64_t draws, const BatchContext& context) {
  const auto started = std::chrono::steady_clock::now();
  const Constraint constraint(rung_of(spec.constraint), *context.subject->sae, context.defence->features());
  std::vector<Contests> contests;
  for (int64_t draw = 0; draw < draws; ++draw) contests.push_back(inject_contests(context, target, draw));
  Problem problem = context.problem(contests.front(), spec.threat_model, Objective::kLogitDiff, spec.budget)
                        .select(at::arange(context.size(), at::kLong).repeat({draws}));
  problem.contests = joined(contests);
  const auto budgets =
      minimal_budgets(problem, constraint, {.cap = spec.budget, .max_steps = spec.steps, .lr = spec.lr});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  FinishedBatch finished;
  for (int64_t draw = 0; draw < draws; ++draw) {
    const Contests& mine = contests[static_cast<size_t>(draw)];
    const at::Tensor start = start_scores(context, mine);
    for (int64_t i = 0; i < context.size(); ++i) {
      const double budget = budgets[static_cast<size_t>(draw * context.size() + i)];
      StoredResult result;
      result.prompt = context.flips[static_cast<size_t>(i)].index;
      result.variant = concat(draw, ":", context.subject->token_text(mine.target[i].item<int64_t>()));
      result.recovered = std::isfinite(budget);
      result.score = start[i].item<double>();
      result.recheck_score = kNotMeasured;
      result.seconds = seconds / static_cast<double>(budgets.size());
      result.termination = result.recovered ? "goal" : "censored";
      result.figures["gap"] = mine.goal[i].item<double>() - result.score;
      result.figures["minimal_budget"] = result.recovered ? Json(budget) : Json();
      result.figures["norm"] = result.figures["minimal_budget"];
      finished.results.push_back(std::move(result));
    }
  }
  return finished;
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
  RowSpec row = spec.headline();
  row.kind = RowKind::kMinimalBudget;
  row.steps = 20;
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
            if (target == InjectTarget::kUnrelated && context.subject->prompts.unrelated_ids.size() < 3) {
              return FinishedBatch{};
            }
            return run_inject(row, target, draws, context);
          }};
}

}  // namespace rebound
