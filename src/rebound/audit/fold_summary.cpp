#include "rebound/audit/fold_summary.h"

#include <algorithm>
#include <map>

#include "rebound/audit/result_figures.h"

namespace rebound {
namespace {

using Results = std::vector<StoredResult>;

double budget_of(const AuditSpec& spec) {
  const std::vector<double>& budgets = spec.controls.shared_budgets;
  const double headline = spec.headline().budget;
  const bool has_headline = std::find(budgets.begin(), budgets.end(), headline) != budgets.end();
  return has_headline ? headline : *std::max_element(budgets.begin(), budgets.end());
}

struct FoldCount {
  int64_t n = 0, recovered = 0, wrong_n = 0, wrong = 0, random_n = 0, random = 0;
};

Json count_with_interval(const Results& results, const std::vector<int64_t>& clusters) {
  int64_t recovered = 0;
  for (const StoredResult& result : results) recovered += result.recovered;
  const Interval interval = recovery_interval(results, clusters);
  return {{"recovered", recovered},
          {"n", results.size()},
          {"ci_low", finite_or_null(interval.low)},
          {"ci_high", finite_or_null(interval.high)}};
}

Json share(int64_t hits, int64_t n) {
  return n == 0 ? Json() : Json(static_cast<double>(hits) / static_cast<double>(n));
}

}  // namespace

void add_folds(AuditSummary& summary, const SummaryInput& input) {
  const bool has_folds =
      std::any_of(input.folds.begin(), input.folds.end(), [](int64_t fold) { return fold >= 0; });
  if (!has_folds || input.spec.controls.shared_budgets.empty()) return;
  RowSpec shared = input.spec.headline();
  shared.scope = RowScope::kShared;
  shared.budget = budget_of(input.spec);
  std::map<int64_t, FoldCount> folds;
  const auto fold_of = [&](const StoredResult& result) -> FoldCount& {
    return folds[input.folds[static_cast<size_t>(result.prompt)]];
  };
  const Results right = input.store.results(shared.name());
  for (const StoredResult& result : right) {
    ++fold_of(result).n;
    fold_of(result).recovered += result.recovered;
  }
  for (const StoredResult& result : input.store.results("inject/" + shared.name())) {
    if (result.figures.value("is_own_answer", false)) continue;
    ++fold_of(result).wrong_n;
    fold_of(result).wrong += result.recovered;
  }
  for (const StoredResult& result : input.store.results("random/" + shared.name())) {
    ++fold_of(result).random_n;
    fold_of(result).random += result.recovered;
  }
  Json table = Json::array();
  for (const auto& [fold, count] : folds) {
    table.push_back({{"name", concat("fold ", fold)},
                     {"fold", fold},
                     {"budget", shared.budget},
                     {"n", count.n},
                     {"recovered", count.recovered},
                     {"wrong_rule_n", count.wrong_n},
                     {"wrong_rule", count.wrong},
                     {"random", share(count.random, count.random_n)}});
  }
  summary.extra["folds"] = table;
  if (table.empty()) return;
  summary.headline["folds"] = table;
  summary.headline["held_out_recovery"] = count_with_interval(right, input.clusters);
}

void add_fact_accuracy(AuditSummary& summary, const Json& accuracy, const Json& left_out) {
  summary.extra["accuracy"] = accuracy;
  if (accuracy.contains("sweep")) {
    summary.headline["saebench_unlearning_score"] = accuracy.at("sweep").at("unlearning_score");
    summary.controls["saebench_sweep"] = accuracy.at("sweep").at("points");
  }
  summary.extra["left_out"] = left_out;
  const auto put =
      [&](const std::string& name, const Json& counts, const char* key, const char* of) {
        const Json& interval = counts.at("intervals").at(key);
        summary.controls[name] = {{"recovered", counts.at(key)},
                                  {"n", counts.at(of)},
                                  {"ci_low", interval.at(0)},
                                  {"ci_high", interval.at(1)}};
      };
  for (const char* set : {"forget", "retain"}) {
    const Json& counts = accuracy.at(set);
    put(concat(set, "_facts_right_before"), counts, "before", "n");
    put(concat(set, "_facts_right_after"), counts, "after", "n");
    put(concat(set, "_known_facts_kept"), counts, "known_kept", "before");
  }
  const Json questions = accuracy.value("questions", Json());
  if (questions.is_null()) return;
  const Json& likelihood = questions.at("likelihood");
  put("questions_right_by_likelihood_before", likelihood, "before", "n");
  put("questions_right_by_likelihood_after", likelihood, "after", "n");
  const Json& letters = questions.at("letters");
  if (letters.is_null()) return;
  put("questions_right_in_all_24_orders_before", letters, "strict_before", "n");
  put("questions_right_in_all_24_orders_after", letters, "strict_after", "n");
}

}  // namespace rebound
