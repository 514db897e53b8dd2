#include "rebound/audit/answer_rows.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "rebound/audit/answer_judge.h"
#include "rebound/audit/answer_search.h"
#include "rebound/audit/answer_suffix.h"
#include "rebound/audit/clock.h"
#include "rebound/audit/power.h"
#include "rebound/audit/result_figures.h"
#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/behaviour/answer_figures.h"
#include "rebound/recover/cross_minimal.h"

namespace rebound {
namespace {

Span span_of(const AnswerRowSpec& row) { return cross_rung_of(row.constraint).projected; }

bool has_rounded_search(const AnswerBatch& batch) {
  return batch.subject->search != batch.subject->model;
}

FinishedBatch run_attack(const AnswerRowSpec& row, const AnswerBatch& batch) {
  const auto started = Clock::now();
  const CrossSolution solution =
      search_answers(batch, row, batch.problem(*batch.subject->search, batch.base_answers()));
  const double seconds = seconds_since(started) / static_cast<double>(batch.flips.size());
  const CrossProblem exact = batch.problem(*batch.subject->model, batch.base_answers());
  std::vector<StoredResult> results = judge_attacked(
      batch, exact, solution.delta, {.span = span_of(row), .budget = row.budget, .is_full = true});
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].score = solution.score[static_cast<int64_t>(i)].item<double>();
    results[i].steps = solution.steps[i];
    results[i].seconds = seconds;
    results[i].termination = to_string(solution.termination[i]);
    results[i].figures["is_whole_target_greedy"] = static_cast<bool>(solution.is_won[i]);
  }
  FinishedBatch finished;
  finished.results = std::move(results);
  for (const TraceEntry& entry : solution.trace) {
    finished.traces.push_back({batch.flips[static_cast<size_t>(entry.example)].index,
                               {},
                               entry.step,
                               entry.score,
                               entry.drift_pre,
                               entry.norm});
  }
  return finished;
}

// Smallest norms with which the search writes each whole answer, with the gaps that they bridge.
std::vector<StoredResult> minimal_results(const AnswerRowSpec& row,
                                          const AnswerBatch& batch,
                                          const std::vector<std::vector<int64_t>>& answers,
                                          const std::string& variant) {
  const auto started = Clock::now();
  const CrossProblem problem = batch.problem(*batch.subject->search, answers);
  const std::vector<double> gaps = answer_gaps(problem);
  std::optional<CrossProblem> exact;
  if (has_rounded_search(batch)) exact = batch.problem(*batch.subject->model, answers);
  const auto [budgets, is_lost] = minimal_answer_budgets(problem,
                                                         cross_rung_of(row.constraint),
                                                         {.cap = row.budget,
                                                          .max_steps = row.steps,
                                                          .lr = row.lr,
                                                          .exact = exact ? &*exact : nullptr});
  std::vector<StoredResult> results;
  for (size_t i = 0; i < budgets.size(); ++i) {
    StoredResult result;
    result.prompt = batch.flips[i].index;
    result.variant = variant;
    result.recovered = std::isfinite(budgets[i]);
    result.score = -gaps[i];
    result.recheck_score = kNotMeasured;
    result.figures = {{"minimal_budget", finite_or_null(budgets[i])},
                      {"gap", finite_or_null(gaps[i])},
                      {"norm", finite_or_null(budgets[i])}};
    if (exact) result.figures["lost_in_float32"] = static_cast<bool>(is_lost[i]);
    result.steps = row.steps;
    result.seconds = seconds_since(started) / static_cast<double>(budgets.size());
    result.termination = result.recovered ? "goal" : "censored";
    results.push_back(std::move(result));
  }
  return results;
}

std::vector<StoredResult> run_minimal(const AnswerRowSpec& row, const AnswerBatch& batch) {
  return minimal_results(row, batch, batch.base_answers(), "");
}

std::vector<StoredResult> run_minimal_inject(const AnswerRowSpec& row, const AnswerBatch& batch) {
  AnswerRowSpec wider = row;
  wider.budget *= kInjectCaps;
  std::vector<StoredResult> all;
  for (size_t draw = 0; draw < batch.foreign_answers.size(); ++draw) {
    for (StoredResult& result :
         minimal_results(wider, batch, batch.foreign_answers[draw], concat("answer ", draw))) {
      all.push_back(std::move(result));
    }
  }
  return all;
}

std::vector<StoredResult> clamp_only_answers(const AnswerBatch& batch) {
  std::vector<StoredResult> results;
  for (size_t i = 0; i < batch.flips.size(); ++i) {
    results.push_back(judge(batch, i, batch.flips[i].defended_answer, {{"norm", 0.0}}));
    results.back().termination = "measured";
  }
  std::vector<std::vector<int64_t>> defended;
  for (const AnswerFlip& flip : batch.flips) defended.push_back(flip.defended_answer);
  add_answer_nll(batch, defended, results);
  return results;
}

// A random direction at every perturbed position, of the row's budget, through the same projection.
std::vector<StoredResult> random_answers(const AnswerRowSpec& row, const AnswerBatch& batch) {
  const CrossProblem exact = batch.problem(*batch.subject->model, batch.base_answers());
  std::vector<StoredResult> all;
  for (int64_t draw = 0; draw < batch.spec->controls.random_draws; ++draw) {
    const auto started = Clock::now();
    at::Tensor delta = exact.zero_delta();
    for (size_t i = 0; i < batch.flips.size(); ++i) {
      Rng rng({batch.spec->seed,
               static_cast<uint64_t>(batch.flips[i].index),
               static_cast<uint64_t>(draw),
               71});
      delta[static_cast<int64_t>(i)] = at::tensor(rng.normals(delta[0].numel())).view_as(delta[0]);
    }
    delta = delta * exact.is_real().view({delta.size(0), 1, delta.size(2), 1});
    delta = scaled_to_budget(exact, delta, span_of(row), row.budget);
    std::vector<StoredResult> results =
        judge_attacked(batch, exact, delta, {.span = span_of(row), .budget = row.budget});
    for (StoredResult& result : results) {
      result.variant = concat("draw ", draw);
      result.seconds = seconds_since(started) / static_cast<double>(batch.flips.size());
      result.termination = "measured";
      all.push_back(std::move(result));
    }
  }
  return all;
}

// The same search towards another request's answer; recovered means that this answer was written.
std::vector<StoredResult> run_inject(const AnswerRowSpec& row, const AnswerBatch& batch) {
  std::vector<StoredResult> all;
  for (size_t draw = 0; draw < batch.foreign_answers.size(); ++draw) {
    const auto started = Clock::now();
    const auto& answers = batch.foreign_answers[draw];
    const CrossSolution solution =
        search_answers(batch, row, batch.problem(*batch.subject->search, answers));
    const AttackedAnswers written = generate_attacked(*batch.subject->model,
                                                      *batch.plan,
                                                      batch.prompts(),
                                                      solution.delta,
                                                      span_of(row),
                                                      {.max_new_tokens = batch.spec->max_new_tokens,
                                                       .stop_tokens = batch.subject->stop_tokens,
                                                       .budget = row.budget});
    for (size_t i = 0; i < batch.flips.size(); ++i) {
      Json figures = {{"norm", solution.norm[static_cast<int64_t>(i)].item<double>()}};
      const bool is_within =
          add_generation_figures(written, i, {.span = span_of(row), .budget = row.budget}, figures);
      StoredResult result = judge(batch, i, written.tokens[i], std::move(figures));
      const std::string text = batch.subject->text_of(written.tokens[i]);
      result.recovered =
          is_within && base_likeness(text, batch.subject->text_of(answers[i])).is_base_like;
      result.variant = concat("answer ", draw);
      result.score = solution.score[static_cast<int64_t>(i)].item<double>();
      result.steps = solution.steps[i];
      result.seconds = seconds_since(started) / static_cast<double>(batch.flips.size());
      result.termination = to_string(solution.termination[i]);
      result.figures["is_whole_target_greedy"] = static_cast<bool>(solution.is_won[i]);
      all.push_back(std::move(result));
    }
  }
  return all;
}

// Which perturbations write the whole target past the leak in float32, too.
std::vector<bool> exact_leak_wins(const AnswerRowSpec& row,
                                  const AnswerBatch& batch,
                                  const at::Tensor& direction,
                                  const at::Tensor& delta) {
  const at::NoGradGuard no_grad;
  const CrossProblem exact = batch.problem(*batch.subject->model, batch.base_answers())
                                 .with_leak(direction, row.budget / 2);
  const at::Tensor is_won =
      (exact.run(delta, span_of(row)).is_argmax == exact.is_real()).all(1).cpu();
  std::vector<bool> wins;
  for (int64_t i = 0; i < is_won.numel(); ++i) wins.push_back(is_won[i].item<bool>());
  return wins;
}

// The flips that the row did not recover, searched again with a leak that needs half of the budget;
// recovered means that greedy decoding would then write the whole target.
std::vector<StoredResult> run_power(const AnswerRowSpec& row, const AnswerBatch& batch) {
  AnswerBatch missed = batch;
  missed.flips.clear();
  std::vector<int64_t> prompts;
  for (const AnswerFlip& flip : batch.flips) prompts.push_back(flip.index);
  for (const size_t i : missed_by(*batch.store, row.name(), prompts)) {
    missed.flips.push_back(batch.flips[i]);
  }
  if (missed.flips.empty()) return {};
  const auto started = Clock::now();
  const CrossProblem problem = missed.problem(*batch.subject->search, missed.base_answers());
  Rng rng({batch.spec->seed, static_cast<uint64_t>(batch.first_flip), 73});
  const at::Tensor direction = at::tensor(rng.normals(problem.model().d_model()));
  const CrossSolution solution =
      search_answers(missed, row, problem.with_leak(direction, row.budget / 2));
  std::vector<bool> is_won = solution.is_won;
  if (has_rounded_search(missed)) {
    const std::vector<bool> exactly = exact_leak_wins(row, missed, direction, solution.delta);
    for (size_t i = 0; i < is_won.size(); ++i) is_won[i] = is_won[i] && exactly[i];
  }
  std::vector<StoredResult> results;
  for (size_t i = 0; i < missed.flips.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    StoredResult result;
    result.prompt = missed.flips[i].index;
    result.recovered = is_won[i];
    result.score = solution.score[place].item<double>();
    result.recheck_score = kNotMeasured;
    result.figures["norm"] = solution.norm[place].item<double>();
    result.steps = solution.steps[i];
    result.seconds = seconds_since(started) / static_cast<double>(missed.flips.size());
    result.termination = to_string(solution.termination[i]);
    results.push_back(std::move(result));
  }
  return results;
}

RowSummary head_of(const AnswerRowSpec& row) {
  RowSummary head;
  head.name = row.name();
  head.constraint = row.constraint;
  head.objective = row.objective();
  head.threat_model = row.is_at_input() ? "input" : "after_clamp";
  head.scope = "per_prompt";
  head.budget = row.is_at_input() ? kNotMeasured : row.budget;
  return head;
}

std::function<FinishedBatch(const AnswerBatch&)> untraced(
    std::function<std::vector<StoredResult>(const AnswerBatch&)> run) {
  return [run = std::move(run)](const AnswerBatch& batch) {
    FinishedBatch finished;
    finished.results = run(batch);
    return finished;
  };
}

AnswerRow control(const AnswerRowSpec& row,
                  const char* kind,
                  std::function<std::vector<StoredResult>(const AnswerBatch&)> run) {
  RowSummary head = head_of(row);
  head.control = kind;
  head.name = concat(kind, "/", row.name());
  return {head, untraced(std::move(run))};
}

}  // namespace

std::vector<AnswerRow> answer_rows(const AnswerAuditSpec& spec) {
  std::vector<AnswerRow> rows;
  for (const AnswerRowSpec& row : spec.rows) {
    if (row.is_at_input()) {
      rows.push_back({head_of(row), untraced([row](const AnswerBatch& batch) {
                        return run_suffix_row(row, batch);
                      })});
    } else if (row.kind == RowKind::kMinimalBudget) {
      rows.push_back({head_of(row), untraced([row](const AnswerBatch& batch) {
                        return run_minimal(row, batch);
                      })});
    } else {
      rows.push_back(
          {head_of(row), [row](const AnswerBatch& batch) { return run_attack(row, batch); }});
    }
  }
  if (!spec.controls.is_on) return rows;
  const AnswerRowSpec& headline = spec.headline();
  rows.push_back(control(headline, "clamp_only", clamp_only_answers));
  if (headline.is_at_input()) return rows;  // the others are about perturbations inside
  if (spec.controls.random_draws > 0) {
    rows.push_back(control(headline, "random", [=](const AnswerBatch& batch) {
      return random_answers(headline, batch);
    }));
  }
  rows.push_back(control(
      headline, "power", [=](const AnswerBatch& batch) { return run_power(headline, batch); }));
  if (spec.controls.inject_answers > 0) {
    rows.push_back(control(
        headline, "inject", [=](const AnswerBatch& batch) { return run_inject(headline, batch); }));
    for (const AnswerRowSpec& row : spec.rows) {
      if (row.kind != RowKind::kMinimalBudget) continue;
      rows.push_back(control(
          row, "inject", [=](const AnswerBatch& batch) { return run_minimal_inject(row, batch); }));
      rows.back().head.budget *= kInjectCaps;
    }
  }
  return rows;
}

}  // namespace rebound
