#include "rebound/audit/rows.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include "rebound/audit/answer_detail.h"
#include "rebound/audit/clock.h"
#include "rebound/audit/result_figures.h"
#include "rebound/base/error.h"
#include "rebound/recover/minimal_budget.h"

namespace rebound {
namespace {

Json figures_of(const Measurement& m) {
  return {{"norm", finite_or_null(m.norm)},
          {"norm_rel", finite_or_null(m.norm_rel)},
          {"drift_pre_l2", finite_or_null(m.drift_pre_l2)},
          {"drift_pre_rel", finite_or_null(m.drift_pre_rel)},
          {"drift_pre_rmse", finite_or_null(m.drift_pre_rmse)},
          {"drift_pre_linf", finite_or_null(m.drift_pre_linf)},
          {"drift_post_l2", finite_or_null(m.drift_post_l2)},
          {"drift_post_rel", finite_or_null(m.drift_post_rel)},
          {"decode_drift", finite_or_null(m.decode_drift)},
          {"reactivated_fraction", finite_or_null(m.reactivated_fraction)},
          {"floor_violation", finite_or_null(m.floor_violation)},
          {"kl_to_base", finite_or_null(m.kl_to_base)},
          {"answer_nll", finite_or_null(m.answer_nll)},
          {"cosine_to_undo", finite_or_null(m.cosine_to_undo)},
          {"share_in_encoder_span", finite_or_null(m.share_in_encoder_span)}};
}

SolverOptions solver_options(const RowSpec& spec, bool keep_trace) {
  return {.max_steps = spec.steps,
          .lr = spec.lr,
          .stop = spec.stop,
          .is_shared = spec.scope == RowScope::kShared,
          .keep_trace = keep_trace};
}

// Attack rows that differ in their constraint alone; one batch of examples for all of them. Every
// row runs whichever of them is asked for first, so that a resumed run computes what an
// uninterrupted one does.
class Ladder {
 public:
  explicit Ladder(std::vector<RowSpec> rows) : rows_(std::move(rows)) {}

  bool has_place_for(const RowSpec& spec) const {
    RowSpec other = rows_.front();
    other.constraint = spec.constraint;
    return other == spec;
  }
  void add(const RowSpec& spec) { rows_.push_back(spec); }

  FinishedBatch run(const RowSpec& spec,
                    const BatchContext& context,
                    const RowEnvironment& environment) {
    const Problem problem = context.problem(
        context.recovery_contests(spec.objective), spec.threat_model, spec.objective, spec.budget);
    if (batch_ != environment.batch_index) solve_all(problem, context, environment);
    const size_t place = static_cast<size_t>(
        std::find_if(rows_.begin(),
                     rows_.end(),
                     [&](const RowSpec& row) { return row.constraint == spec.constraint; }) -
        rows_.begin());
    FinishedBatch finished = finish(problem, context, place);
    for (StoredResult& result : finished.results) {
      result.seconds = seconds_ / static_cast<double>(rows_.size() * finished.results.size());
    }
    store_delta(environment.store, spec.name(), environment.batch_index, solutions_[place].delta);
    return finished;
  }

 private:
  void solve_all(const Problem& problem,
                 const BatchContext& context,
                 const RowEnvironment& environment) {
    const auto started = Clock::now();
    constraints_.clear();
    for (const RowSpec& row : rows_) {
      constraints_.emplace_back(
          rung_of(row.constraint), *context.subject->sae, context.defence->features());
    }
    std::vector<const Constraint*> pointers;
    for (const Constraint& constraint : constraints_) pointers.push_back(&constraint);
    solutions_ =
        solve_under_each(problem, pointers, solver_options(rows_.front(), environment.spec.trace));
    seconds_ = seconds_since(started);
    batch_ = environment.batch_index;
  }

  FinishedBatch finish(const Problem& problem, const BatchContext& context, size_t place) const {
    const Solution& solution = solutions_[place];
    FinishedBatch finished;
    finished.results = results_of(context, problem, solution.delta, /*is_rechecked=*/true);
    const at::Tensor binding =
        binding_features(problem, solution.delta, context.subject->statistics.pre_std);
    const at::Tensor shift = problem.pre_shift(problem.perturbed_value(solution.delta)).norm(2, 1);
    const std::string site = to_string(context.defence->site());
    for (size_t i = 0; i < finished.results.size(); ++i) {
      const int64_t at = static_cast<int64_t>(i);
      StoredResult& result = finished.results[i];
      add_run_figures(result, solution.steps[i], 0, to_string(solution.termination[i]));
      result.figures["binding_features"] = binding[at].sum().item<int64_t>();
      result.figures["constraint_violation"] =
          finite_or_null(constraints_[place].violation(solution.delta[at]));
      result.figures["drift_by_feature"] =
          most_moved(site, shift[at], context.defence->features());
    }
    for (const TraceEntry& entry : solution.trace) {
      finished.traces.push_back({context.flips[static_cast<size_t>(entry.example)].index,
                                 {},
                                 entry.step,
                                 entry.score,
                                 entry.drift_pre,
                                 entry.norm});
    }
    return finished;
  }

  std::vector<RowSpec> rows_;
  std::vector<Constraint> constraints_;
  std::vector<Solution> solutions_;  // of batch_
  int64_t batch_ = -1;
  double seconds_ = 0;
};

// Fitted on the flips of the training prompts (of facts: of the other folds) once; every batch of
// test flips (of the fold) uses the same one.
at::Tensor fitted_shared_delta(const RowSpec& spec, const RowEnvironment& environment) {
  const at::Tensor known = load_delta(environment.store, spec.name(), environment.fold);
  if (known.defined()) return known.to(environment.train->subject->search->device());
  const BatchContext& train = *environment.train;
  const Constraint constraint(
      rung_of(spec.constraint), *train.subject->sae, train.defence->features());
  const Problem problem = train.problem(
      train.recovery_contests(spec.objective), spec.threat_model, spec.objective, spec.budget);
  const at::Tensor delta = solve(problem, constraint, solver_options(spec, false)).delta;
  store_delta(environment.store, spec.name(), environment.fold, delta);
  return delta;
}

FinishedBatch run_shared(const RowSpec& spec,
                         const BatchContext& context,
                         const RowEnvironment& environment) {
  const auto started = Clock::now();
  FinishedBatch finished;
  if (!environment.train) return finished;
  const at::Tensor delta = fitted_shared_delta(spec, environment);
  const Problem problem = context.problem(
      context.recovery_contests(spec.objective), spec.threat_model, spec.objective, spec.budget);
  finished.results = results_of(context, problem, delta, /*is_rechecked=*/true);
  const double seconds = seconds_since(started) / static_cast<double>(context.size());
  for (StoredResult& result : finished.results)
    add_run_figures(result, spec.steps, seconds, "held_out");
  return finished;
}

FinishedBatch run_minimal(const RowSpec& spec, const BatchContext& context) {
  const auto started = Clock::now();
  const Constraint constraint(
      rung_of(spec.constraint), *context.subject->sae, context.defence->features());
  const Problem problem = context.problem(
      context.recovery_contests(spec.objective), spec.threat_model, spec.objective, spec.budget);
  const std::optional<Problem> exact = context.exact(problem);
  const auto [budgets, is_lost] = minimal_budgets(problem,
                                                  constraint,
                                                  {.cap = spec.budget,
                                                   .max_steps = spec.steps,
                                                   .lr = spec.lr,
                                                   .exact = exact ? &*exact : nullptr});
  const double seconds = seconds_since(started) / static_cast<double>(context.size());
  FinishedBatch finished;
  for (size_t i = 0; i < budgets.size(); ++i) {
    StoredResult result;
    result.prompt = context.flips[i].index;
    result.recovered = std::isfinite(budgets[i]);
    result.score = context.flips[i].defended_score;
    result.recheck_score = kNotMeasured;
    result.figures = {{"minimal_budget", finite_or_null(budgets[i])},
                      {"gap", finite_or_null(-context.flips[i].defended_score)},
                      {"norm", finite_or_null(budgets[i])}};
    if (exact) result.figures["lost_in_float32"] = static_cast<bool>(is_lost[i]);
    finished.results.push_back(
        add_run_figures(result, spec.steps, seconds, result.recovered ? "goal" : "censored"));
  }
  return finished;
}

}  // namespace

RowSummary head_of(const RowSpec& spec) {
  RowSummary head;
  head.name = spec.name();
  head.constraint = spec.constraint;
  head.objective =
      spec.kind == RowKind::kMinimalBudget ? "minimal_budget" : to_string(spec.objective);
  head.threat_model = to_string(spec.threat_model);
  head.scope = spec.scope == RowScope::kShared ? "shared" : "per_prompt";
  head.budget = spec.budget;
  return head;
}

namespace {

std::shared_ptr<Ladder> ladder_for(const RowSpec& spec,
                                   std::vector<std::shared_ptr<Ladder>>& ladders) {
  for (const auto& ladder : ladders) {
    if (!ladder->has_place_for(spec)) continue;
    ladder->add(spec);
    return ladder;
  }
  ladders.push_back(std::make_shared<Ladder>(std::vector<RowSpec>{spec}));
  return ladders.back();
}

}  // namespace

std::vector<Row> attack_rows(const std::vector<RowSpec>& specs) {
  std::vector<std::shared_ptr<Ladder>> ladders;
  std::vector<Row> rows;
  for (const RowSpec& spec : specs) {
    if (spec.kind == RowKind::kMinimalBudget) {
      rows.push_back(minimal_budget_row(spec));
      continue;
    }
    if (spec.scope == RowScope::kShared) {
      rows.push_back(shared_row(spec));
      continue;
    }
    const std::shared_ptr<Ladder> mine = ladder_for(spec, ladders);
    rows.push_back({head_of(spec),
                    [spec, mine](const BatchContext& context, const RowEnvironment& environment) {
                      return mine->run(spec, context, environment);
                    }});
  }
  return rows;
}

Row shared_row(const RowSpec& spec) {
  return {head_of(spec), [spec](const BatchContext& context, const RowEnvironment& environment) {
            return run_shared(spec, context, environment);
          }};
}

Row minimal_budget_row(const RowSpec& spec) {
  return {head_of(spec), [spec](const BatchContext& context, const RowEnvironment&) {
            return run_minimal(spec, context);
          }};
}

std::vector<StoredResult> results_of(const BatchContext& context,
                                     const Problem& problem,
                                     const at::Tensor& delta,
                                     bool is_rechecked) {
  const std::vector<Measurement> measured = measure(problem, delta, context.measure);
  at::Tensor recheck;
  if (is_rechecked) {
    recheck = recheck_scores(
        problem, delta, {context.subject->model.get(), context.tokens, context.first_position});
  }
  std::vector<StoredResult> results;
  for (size_t i = 0; i < measured.size(); ++i) {
    StoredResult result;
    result.prompt = context.flips[i].index;
    result.score = measured[i].score;
    result.recheck_score =
        is_rechecked ? recheck[static_cast<int64_t>(i)].item<double>() : kNotMeasured;
    result.recovered = (is_rechecked ? result.recheck_score : result.score) > 0;
    result.figures = figures_of(measured[i]);
    results.push_back(std::move(result));
  }
  return results;
}

StoredResult& add_run_figures(StoredResult& result,
                              int64_t steps,
                              double seconds,
                              const std::string& termination) {
  result.steps = steps;
  result.seconds = seconds;
  result.termination = termination;
  return result;
}

void store_delta(Store& store, const std::string& row, int64_t batch, const at::Tensor& delta) {
  const at::Tensor flat = delta.cpu().to(at::kFloat).contiguous();
  std::string bytes(sizeof(int64_t) * 3 + static_cast<size_t>(flat.numel()) * sizeof(float), '\0');
  std::memcpy(bytes.data(), flat.sizes().data(), sizeof(int64_t) * 3);
  std::memcpy(bytes.data() + sizeof(int64_t) * 3,
              flat.data_ptr<float>(),
              static_cast<size_t>(flat.numel()) * sizeof(float));
  store.put_artefact(concat("delta/", row, "/", batch), bytes);
}

at::Tensor load_delta(const Store& store, const std::string& row, int64_t batch) {
  const auto bytes = store.artefact(concat("delta/", row, "/", batch));
  if (!bytes) return {};
  constexpr size_t kHeader = sizeof(int64_t) * 3;
  require<DataError>(
      bytes->size() >= kHeader, "stored delta of ", row, ": got ", bytes->size(), " bytes");
  int64_t sizes[3];
  std::memcpy(sizes, bytes->data(), kHeader);
  at::Tensor delta = at::empty({sizes[0], sizes[1], sizes[2]}, at::kFloat);
  const size_t expected = kHeader + static_cast<size_t>(delta.numel()) * sizeof(float);
  require<DataError>(bytes->size() == expected,
                     "stored delta of ",
                     row,
                     ": got ",
                     bytes->size(),
                     " bytes, expected ",
                     expected);
  std::memcpy(delta.data_ptr<float>(), bytes->data() + kHeader, expected - kHeader);
  return delta;
}

}  // namespace rebound
