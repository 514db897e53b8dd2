#include "rebound/audit/summarise.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "rebound/audit/fold_summary.h"
#include "rebound/audit/power.h"
#include "rebound/audit/result_figures.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

using Results = std::vector<StoredResult>;

const RowSummary* find_row(const std::vector<RowSummary>& rows, const std::string& name) {
  for (const RowSummary& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

class Summariser {
 public:
  explicit Summariser(const SummaryInput& input) : in_(input) {}

  AuditSummary run() {
    AuditSummary summary;
    summary.n_prompts = in_.n_prompts;
    summary.n_valid = in_.n_valid;
    for (const RowSummary& head : in_.heads) {
      by_row_[head.name] = in_.store.results(head.name);
      if (by_row_[head.name].empty() && in_.n_valid > 0)
        continue;  // not applicable, for example no training flips
      summary.rows.push_back(summarise_row(head, by_row_[head.name], in_.clusters));
    }
    fill_headline(summary);
    fill_controls(summary);
    const Verdict verdict = decide(verdict_input(summary), in_.spec.verdict);
    summary.verdict = verdict.verdict;
    summary.verdict_text = verdict.text;
    return summary;
  }

 private:
  const Results& results(const std::string& name) { return by_row_[name]; }
  std::string headline_name() const { return in_.spec.headline().name(); }

  RowSpec minimal_spec() const {
    RowSpec row = in_.spec.headline();
    row.kind = RowKind::kMinimalBudget;
    return row;
  }
  std::string inject_name(const char* target) const {
    return concat("inject/", minimal_spec().name(), "/", target);
  }

  void fill_headline(AuditSummary& summary) {
    const std::string name = headline_name();
    summary.headline["row"] = name;
    if (const RowSummary* row = find_row(summary.rows, name)) {
      summary.headline["recovery"] = {{"recovered", row->recovered},
                                      {"n", row->n_valid},
                                      {"ci_low", finite_or_null(row->ci_low)},
                                      {"ci_high", finite_or_null(row->ci_high)}};
    }
    above_random_ = paired_difference(results(name), results("random/" + name), in_.clusters);
    summary.headline["above_random"] = estimate_json(above_random_);
    const double cap = in_.spec.headline().budget;
    const Results& recover = results(minimal_spec().name());
    Json budgets = Json::array();
    Results all_injected;
    add_budgets(budgets, recover, "recover", "correct", cap);
    summary.headline["minimal_budget_to_recover"] = median_budget(recover, cap);
    for (const char* target : {"unrelated", "other_name", "gap_matched"}) {
      const Results& inject = results(inject_name(target));
      if (inject.empty()) continue;
      add_budgets(budgets, inject, "inject", target, cap);
      summary.headline[concat("minimal_budget_to_inject_", target)] = median_budget(inject, cap);
      summary.headline[concat("specificity_per_nat_", target)] =
          estimate_json(specificity_per_nat(inject, recover, in_.clusters, {cap, cap}));
      all_injected.insert(all_injected.end(), inject.begin(), inject.end());
    }
    if (!all_injected.empty()) {
      specificity_ = specificity_per_nat(all_injected, recover, in_.clusters, {cap, cap});
      summary.headline["specificity_per_nat"] = estimate_json(specificity_);
    }
    if (!budgets.empty()) summary.headline["minimal_budgets"] = budgets;
    fill_shared(summary);
    add_folds(summary, in_);
  }

  void fill_shared(AuditSummary& summary) {
    Json table = Json::array();
    Results all_right, all_wrong;  // of every budget: one test, not the best of several
    for (const double budget : in_.spec.controls.shared_budgets) {
      RowSpec shared = in_.spec.headline();
      shared.scope = RowScope::kShared;
      shared.budget = budget;
      const std::string name = shared.name();
      const Results& right = results(name);
      Results wrong = results("inject/" + name);
      std::erase_if(wrong,
                    [](const StoredResult& r) { return r.figures.value("is_own_answer", false); });
      if (right.empty()) continue;
      const Estimate gain = paired_difference(right, wrong, in_.clusters);
      if (!wrong.empty()) {
        all_right.insert(all_right.end(), right.begin(), right.end());
        all_wrong.insert(all_wrong.end(), wrong.begin(), wrong.end());
      }
      const auto rate = [](const Results& r) {
        double sum = 0;
        for (const StoredResult& result : r) sum += result.recovered;
        return r.empty() ? Json() : Json(sum / static_cast<double>(r.size()));
      };
      table.push_back({{"name", concat("shared@", budget)},
                       {"held_out_recovery", rate(right)},
                       {"wrong_rule", rate(wrong)},
                       {"wrong_rule_answer", wrong.empty() ? Json() : Json(wrong.front().variant)},
                       {"random", rate(results("random/" + name))},
                       {"above_wrong_rule", estimate_json(gain)}});
    }
    if (table.empty()) return;
    summary.headline["shared_delta"] = table;
    if (all_wrong.empty()) return;
    shared_above_wrong_ = paired_difference(all_right, all_wrong, in_.clusters);
    summary.headline["shared_above_wrong_rule"] = estimate_json(shared_above_wrong_);
  }

  static void add_budgets(
      Json& list, const Results& results, const char* kind, const char* target, double cap) {
    for (const StoredResult& result : results) {
      list.push_back({{"prompt", result.prompt},
                      {"kind", kind},
                      {"target", target},
                      {"gap", finite_or_null(figure(result, "gap"))},
                      {"budget", finite_or_null(figure(result, "minimal_budget"))},
                      {"cap", cap}});
    }
  }

  void fill_controls(AuditSummary& summary) {
    const std::string name = headline_name();
    int64_t prompts_hit = 0;
    const std::map<int64_t, double> random_rates = rates_by_prompt(results("random/" + name));
    for (const auto& [prompt, rate] : random_rates) prompts_hit += rate > 0;
    summary.controls["random_hits_at_least_once"] = {{"recovered", prompts_hit},
                                                     {"n", random_rates.size()}};
    const Results& unclamped = results("unclamped/" + name);
    if (!unclamped.empty()) {
      summary.controls["gain_of_delta_unclamped_nats"] =
          finite_or_null(mean_figure(unclamped, "gain_unclamped"));
      summary.controls["gain_of_delta_clamped_nats"] =
          finite_or_null(mean_figure(unclamped, "gain_clamped"));
    }
    const Results& random_features = results("random_features/" + name);
    if (!random_features.empty()) {
      summary.controls["flips_under_clamp_of_random_features"] =
          finite_or_null(mean_figure(random_features, "flips_under_random_clamp"));
    }
    summary.controls["constraint_binds_on_examples"] = finite_or_null(binding_share());
  }

  // Share of examples in which the headline's attack under `none` (or the nearest rung that leaves
  // a defended feature free to move) moves one; NaN where no such row says so.
  double binding_share() {
    RowSpec row = in_.spec.headline();
    for (const char* rung : {"none", "penalty", "encoder_published"}) {
      row.constraint = rung;
      const std::vector<double> binding = figures(results(row.name()), "binding_features");
      if (binding.empty()) continue;
      const auto n_binding =
          std::count_if(binding.begin(), binding.end(), [](double count) { return count > 0; });
      return static_cast<double>(n_binding) / static_cast<double>(binding.size());
    }
    return kNotMeasured;
  }

  VerdictInput verdict_input(const AuditSummary& summary) {
    VerdictInput input;
    input.row = headline_name();
    input.budget = in_.spec.headline().budget;
    const RowSummary* row = find_row(summary.rows, input.row);
    input.n_valid = in_.n_valid;
    const RowSummary* power = find_row(summary.rows, "power/" + input.row);
    if (row) fill_recovery(*row, power, input);
    input.n_clusters = count_clusters(results(input.row), in_.clusters);
    input.binding_share = binding_share();
    input.above_random = above_random_;
    input.specificity = specificity_;
    input.shared_above_wrong = shared_above_wrong_;
    return input;
  }

  const SummaryInput& in_;
  std::map<std::string, Results> by_row_;
  Estimate above_random_ = VerdictInput::kNoEstimate, specificity_ = VerdictInput::kNoEstimate,
           shared_above_wrong_ = VerdictInput::kNoEstimate;
};

}  // namespace

void fill_recovery(const RowSummary& row, const RowSummary* power, VerdictInput& input) {
  input.recovered = row.recovered;
  if (row.n_valid > 0) input.rate = {row.ci_low, row.ci_high};
  const bool has_power = power && power->n_valid > 0, has_missed = row.recovered < row.n_valid;
  input.is_power_measured = has_power || (row.n_valid > 0 && !has_missed);
  input.has_power_failed = has_power && power->rate < kNeededPower;
}

RowSummary summarise_row(RowSummary row,
                         const Results& results,
                         const std::vector<int64_t>& clusters) {
  row.n_valid = static_cast<int64_t>(results.size());
  int64_t zero_reactivation = 0, rechecked = 0, disagree = 0;
  std::vector<double> steps, seconds, scores;
  for (const StoredResult& result : results) {
    row.recovered += result.recovered;
    zero_reactivation += result.recovered && figure(result, "reactivated_fraction") == 0;
    if (std::isfinite(result.recheck_score)) {
      ++rechecked;
      disagree += (result.recheck_score > 0) != (result.score > 0);
    }
    steps.push_back(static_cast<double>(result.steps));
    seconds.push_back(result.seconds);
    scores.push_back(result.score);
  }
  if (results.empty()) return row;
  const double n = static_cast<double>(row.n_valid);
  row.rate = static_cast<double>(row.recovered) / n;
  const Interval interval = recovery_interval(results, clusters);
  row.ci_low = interval.low;
  row.ci_high = interval.high;
  const size_t n_prompts = rates_by_prompt(results).size();
  if (n_prompts < results.size()) row.extra["prompts"] = n_prompts;
  row.drift_pre_l2 = mean_figure(results, "drift_pre_l2");
  row.drift_pre_rel = mean_figure(results, "drift_pre_rel");
  row.drift_post_l2 = mean_figure(results, "drift_post_l2");
  row.drift_post_rel = mean_figure(results, "drift_post_rel");
  row.reactivated_fraction = mean_figure(results, "reactivated_fraction");
  if (!figures(results, "reactivated_fraction").empty()) {
    row.zero_reactivation = static_cast<double>(zero_reactivation) / n;
  }
  row.norm_mean = mean_figure(results, "norm");
  row.norm_rel_mean = mean_figure(results, "norm_rel");
  row.kl_to_base = mean_figure(results, "kl_to_base");
  row.seconds_per_prompt = mean(seconds);
  row.extra["score_mean"] = finite_or_null(mean(scores));
  row.extra["steps_mean"] = finite_or_null(mean(steps));
  const std::pair<const char*, const char*> more[] = {
      {"decode_drift", "decode_drift"},
      {"rmse", "drift_pre_rmse"},
      {"linf", "drift_pre_linf"},
      {"cosine_to_undo", "cosine_to_undo"},
      {"share_in_span", "share_in_encoder_span"},
      {"floor_violation", "floor_violation"},
      {"constraint_violation", "constraint_violation"}};
  for (const auto& [name, source] : more)
    row.extra[name] = finite_or_null(mean_figure(results, source));
  const std::vector<double> nll = figures(results, "answer_nll");
  row.extra["answer_perplexity"] = nll.empty() ? Json() : finite_or_null(std::exp(mean(nll)));
  row.extra["rechecked_float32"] = rechecked;
  row.extra["disagreements_float32"] = rechecked > 0 ? Json(disagree) : Json();
  return row;
}

AuditSummary summarise(const SummaryInput& input) { return Summariser(input).run(); }

}  // namespace rebound
