#include "rebound/report/budgets.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "rebound/report/figure.h"

namespace rebound {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr size_t kMostSteps = 200;

double number(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_number() ? found->get<double>() : kNotMeasured;
}

double budget_of(const Json& object, const char* key) {
  const double budget = number(object, key);
  return std::isnan(budget) ? kInfinity : budget;
}

std::string series_name(const RowSummary& row) {
  if (row.is_attack()) return "recover · " + row.constraint;
  return "inject · " + (row.target ? words(*row.target) : "another answer");
}

std::vector<BudgetSearch> searches_of_results(const ReportInput& input) {
  std::map<std::string, const RowSummary*> rows;
  for (const RowSummary& row : input.summary.rows) rows.emplace(row.name, &row);
  std::vector<BudgetSearch> searches;
  for (const StoredResult& result : input.results) {
    const auto row = rows.find(result.row);
    const bool is_search = result.figures.is_object() && result.figures.contains("minimal_budget");
    if (row == rows.end() || !is_search) continue;
    searches.push_back({.series = series_name(*row->second),
                        .is_recovery = row->second->is_attack(),
                        .prompt = result.prompt,
                        .gap = number(result.figures, "gap"),
                        .budget = budget_of(result.figures, "minimal_budget"),
                        .cap = row->second->budget});
  }
  return searches;
}

std::vector<BudgetSearch> searches_of_headline(const Json& headline) {
  std::vector<BudgetSearch> searches;
  if (!headline.is_object() || !headline.contains("minimal_budgets")) return searches;
  for (const Json& search : headline.at("minimal_budgets")) {
    if (!search.is_object()) continue;
    const std::string kind = show_json(search.value("kind", Json()));
    const double prompt = number(search, "prompt");
    searches.push_back({.series = kind,
                        .is_recovery = kind == "recover",
                        .prompt = std::isnan(prompt) ? 0 : static_cast<int64_t>(prompt),
                        .gap = number(search, "gap"),
                        .budget = budget_of(search, "budget"),
                        .cap = number(search, "cap")});
  }
  return searches;
}

// Every step but the last of those that stand for it, so that ends stay.
std::vector<BudgetCurve::Step> thinned(const std::vector<BudgetCurve::Step>& steps) {
  if (steps.size() <= kMostSteps) return steps;
  std::vector<BudgetCurve::Step> kept;
  for (size_t i = 0; i < kMostSteps; ++i) {
    kept.push_back(steps[i * (steps.size() - 1) / (kMostSteps - 1)]);
  }
  return kept;
}

}  // namespace

bool BudgetSearch::is_censored() const { return std::isinf(budget); }

double BudgetSearch::reached() const { return is_censored() ? cap : budget; }

std::vector<BudgetSearch> budget_searches(const ReportInput& input) {
  std::vector<BudgetSearch> searches = searches_of_results(input);
  if (searches.empty()) searches = searches_of_headline(input.summary.headline);
  std::erase_if(searches, [](const BudgetSearch& search) {
    return !(search.gap > 0) || !std::isfinite(search.gap) || !std::isfinite(search.reached()) ||
           search.reached() <= 0;
  });
  std::stable_partition(searches.begin(), searches.end(), [](const BudgetSearch& search) {
    return search.is_recovery;
  });
  return searches;
}

std::vector<std::string> series_of(const std::vector<BudgetSearch>& searches) {
  std::vector<std::string> series;
  for (const BudgetSearch& search : searches) {
    if (std::find(series.begin(), series.end(), search.series) == series.end()) {
      series.push_back(search.series);
    }
  }
  return series;
}

std::vector<BudgetCurve> budget_curves(const std::vector<BudgetSearch>& searches, bool per_nat) {
  std::vector<BudgetCurve> curves;
  for (const std::string& series : series_of(searches)) {
    std::map<int64_t, int64_t> tries;
    std::vector<std::pair<double, int64_t>> wins;  // x, prompt
    double last = 0;
    BudgetCurve curve{.series = series};
    for (const BudgetSearch& search : searches) {
      if (search.series != series) continue;
      curve.is_recovery = search.is_recovery;
      ++tries[search.prompt];
      const double x = search.reached() / (per_nat ? search.gap : 1);
      if (!search.is_censored()) wins.emplace_back(x, search.prompt);
      last = std::max(last, x);
    }
    curve.n_prompts = static_cast<int64_t>(tries.size());
    std::sort(wins.begin(), wins.end());
    double share = 0;
    if (!wins.empty()) curve.steps.push_back({wins.front().first, 0});
    for (const auto& [x, prompt] : wins) {
      share += 1.0 / static_cast<double>(tries.at(prompt)) / static_cast<double>(curve.n_prompts);
      curve.steps.push_back({x, std::min(share, 1.0)});
    }
    curve.steps.push_back({last, std::min(share, 1.0)});
    curve.steps = thinned(curve.steps);
    curves.push_back(std::move(curve));
  }
  return curves;
}

}  // namespace rebound
