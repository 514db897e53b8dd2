#include "rebound/report/tables.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "rebound/report/budgets.h"
#include "rebound/report/example_data.h"
#include "rebound/report/figure.h"
#include "rebound/report/scope.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

using Cells = std::vector<std::string>;

const std::map<std::string, std::string> kQuestions = {
    {"clamp_only", "Is there anything to recover? The defended run without any perturbation."},
    {"random", "Does any perturbation do it? Random directions of the same norm and constraint."},
    {"projected_undo", "Does the constraint forbid simply undoing the clamp? No optimiser."},
    {"unclamped", "Is delta just a generic booster? The same delta on the undefended run."},
    {"random_features", "Does the choice of features matter? Others of equal firing rate."},
    {"inject", "Can this budget write anything at all? The same search towards other targets."},
    {"power",
     "Would a route have been found? Flips not recovered, with a leak planted for the check."},
    {"relearn",
     "Does training undo it? Ten steps of fine-tuning on other prompts, the clamp live."}};

// As the rows of a report stand: controls, then the comparison that some audits have.
const std::vector<std::string>& control_order() {
  static const std::vector<std::string> order = [] {
    std::vector<std::string> all(kControls.begin(), kControls.end());
    all.push_back("relearn");
    return all;
  }();
  return order;
}

// Figures of a row past its interval. Optional ones are shown where some row of the table has them.
struct RowFigure {
  const char* title;
  Detail detail;  // the least at which it is shown
  bool is_optional;
  std::function<double(const RowSummary&)> value;
};

double extra(const RowSummary& row, const char* key) {
  const auto found = row.extra.find(key);
  return found != row.extra.end() && found->is_number() ? found->get<double>() : kNotMeasured;
}

const std::vector<RowFigure>& row_figures() {
  static const auto of = [](const char* key) {
    return [key](const RowSummary& row) { return extra(row, key); };
  };
  static const std::vector<RowFigure> figures = {
      {"base-like", Detail::kShort, true, of("base_like")},
      {"degenerate", Detail::kShort, true, of("degenerate")},
      {"drift pre", Detail::kShort, false, [](const RowSummary& row) { return row.drift_pre_rel; }},
      {"norm", Detail::kShort, false, [](const RowSummary& row) { return row.norm_mean; }},
      {"s/prompt",
       Detail::kShort,
       false,
       [](const RowSummary& row) { return row.seconds_per_prompt; }},
      {"norm rel", Detail::kFull, false, [](const RowSummary& row) { return row.norm_rel_mean; }},
      {"drift pre L2",
       Detail::kFull,
       false,
       [](const RowSummary& row) { return row.drift_pre_l2; }},
      {"drift post",
       Detail::kFull,
       false,
       [](const RowSummary& row) { return row.drift_post_rel; }},
      {"drift post L2",
       Detail::kFull,
       false,
       [](const RowSummary& row) { return row.drift_post_l2; }},
      {"reactivated",
       Detail::kFull,
       true,
       [](const RowSummary& row) { return row.reactivated_fraction; }},
      {"no reactivation",
       Detail::kFull,
       true,
       [](const RowSummary& row) { return row.zero_reactivation; }},
      {"KL to base", Detail::kFull, true, [](const RowSummary& row) { return row.kl_to_base; }},
      {"drift generating", Detail::kFull, true, of("drift_generation_rel")},
      {"norm generating", Detail::kFull, false, of("norm_generation")},
      {"not refused", Detail::kFull, true, of("non_refusal")},
      {"strictly base-like", Detail::kFull, true, of("strict_base_like")}};
  return figures;
}

std::vector<const RowFigure*> shown_figures(const AuditSummary& summary, Detail detail) {
  std::vector<const RowFigure*> shown;
  for (const RowFigure& figure : row_figures()) {
    if (figure.detail == Detail::kFull && detail == Detail::kShort) continue;
    const bool has_value =
        std::any_of(summary.rows.begin(), summary.rows.end(), [&](const RowSummary& row) {
          return std::isfinite(figure.value(row));
        });
    if (has_value || !figure.is_optional) shown.push_back(&figure);
  }
  return shown;
}

std::vector<Column> row_columns(const AuditSummary& summary, Detail detail) {
  std::vector<Column> columns = {{"row"}, {"recovered", true}, {"95 % interval", true}};
  if (detail == Detail::kFull) columns.insert(columns.begin(), {"#", true});
  for (const RowFigure* figure : shown_figures(summary, detail))
    columns.push_back({figure->title, true});
  return columns;
}

// What the page draws beside the figures; the row of the verdict is set off.
void add_drawing(const AuditSummary& summary, size_t index, Table& table) {
  const RowSummary& row = summary.rows[index];
  if (&row == headline_row(summary)) table.marked = table.rows.size();
  table.bars.push_back({row.rate, row.ci_low, row.ci_high, row.is_attack()});
}

Table row_table(const char* title, const AuditSummary& summary, Detail detail) {
  Table table{.title = title, .columns = row_columns(summary, detail), .rows = {}};
  table.bar_at = detail == Detail::kFull ? 2 : 1;
  table.mark = "the verdict rests on this row";
  return table;
}

// Tokens begin with a space as a rule.
std::string trimmed(const std::string& text) {
  const size_t start = text.find_first_not_of(' ');
  return start == std::string::npos ? text : text.substr(start);
}

std::string row_label(const RowSummary& row) {
  if (row.is_attack()) return row.name;
  const std::string target = row.target ? concat(" → ", words(trimmed(*row.target))) : "";
  // A control's name holds the control and sometimes the target again.
  std::string name = row.name;
  if (name.starts_with(*row.control + "/")) name = name.substr(row.control->size() + 1);
  if (row.target && name.ends_with("/" + *row.target))
    name.resize(name.size() - row.target->size() - 1);
  return concat(words(*row.control), target, " · ", name);
}

Cells row_cells(const AuditSummary& summary, size_t index, Detail detail) {
  const RowSummary& row = summary.rows[index];
  Cells cells = {row_label(row),
                 count_of(row.recovered, row.n_valid),
                 percent_interval(row.ci_low, row.ci_high)};
  if (detail == Detail::kFull) cells.insert(cells.begin(), std::to_string(index + 1));
  for (const RowFigure* figure : shown_figures(summary, detail))
    cells.push_back(show(figure->value(row)));
  return cells;
}

size_t control_rank(const RowSummary& row) {
  const auto& order = control_order();
  return static_cast<size_t>(std::find(order.begin(), order.end(), row.control.value_or("")) -
                             order.begin());
}

// "a": {"b": 1} becomes the line "a: b", 1; lists of objects are left to json_tables.
void add_figures(const std::string& prefix, const Json& json, Table& table) {
  for (const auto& [key, value] : json.items()) {
    const std::string name = prefix.empty() ? words(key) : prefix + ": " + words(key);
    const bool is_list_of_objects = value.is_array() && !value.empty() && value[0].is_object();
    if (is_list_of_objects) continue;
    if (value.is_object() && !is_one_figure(value)) {
      add_figures(name, value, table);
    } else {
      table.rows.push_back({name, show_json(value)});
    }
  }
}

Table list_table(const std::string& title, const Json& list) {
  Table table{.title = title, .columns = {}, .rows = {}};
  std::vector<std::string> keys;
  for (const Json& item : list) {
    if (!item.is_object()) continue;
    for (const auto& [key, value] : item.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
  }
  std::stable_partition(keys.begin(), keys.end(), [](const auto& key) { return key == "name"; });
  for (const std::string& key : keys) table.columns.push_back({words(key), key != "name"});
  for (const Json& item : list) {
    Cells cells;
    for (const std::string& key : keys) {
      cells.push_back(item.is_object() ? show_json(item.value(key, Json())) : "");
    }
    table.rows.push_back(cells);
  }
  return table;
}

// Flip, base, defended: verdicts of whole answers, else scores.
Cells flip_cells(const StoredExample& example) {
  if (!example.extra.contains("flip")) {
    return {
        example.is_valid ? "yes" : "no", show(example.base_score), show(example.defended_score)};
  }
  const auto verdict = [&](const char* run) {
    return words(example.extra.value(run, Json::object()).value("verdict", ""));
  };
  return {words(example.extra.value("flip", "")), verdict("base"), verdict("defended")};
}

std::string median_text(const std::vector<double>& values) {
  const double value = median(values);
  return std::isinf(value) ? "censored" : show(value);
}

}  // namespace

Table attack_table(const AuditSummary& summary, Detail detail) {
  Table table = row_table("Attack", summary, detail);
  for (size_t i = 0; i < summary.rows.size(); ++i) {
    if (!summary.rows[i].is_attack()) continue;
    add_drawing(summary, i, table);
    table.rows.push_back(row_cells(summary, i, detail));
  }
  return table;
}

Table control_table(const AuditSummary& summary, Detail detail) {
  Table table = row_table("Controls", summary, detail);
  std::vector<size_t> order;
  for (size_t i = 0; i < summary.rows.size(); ++i) {
    if (!summary.rows[i].is_attack()) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return control_rank(summary.rows[a]) < control_rank(summary.rows[b]);
  });
  for (const size_t i : order) {
    add_drawing(summary, i, table);
    table.rows.push_back(row_cells(summary, i, detail));
  }
  return table;
}

Table question_table(const AuditSummary& summary) {
  Table table{.title = "", .columns = {{"control"}, {"asks"}}, .rows = {}};
  for (const std::string& control : control_order()) {
    const bool is_present = std::any_of(summary.rows.begin(),
                                        summary.rows.end(),
                                        [&](const auto& row) { return row.control == control; });
    if (is_present) table.rows.push_back({words(control), kQuestions.at(control)});
  }
  return table;
}

Table headline_table(const Json& headline) {
  Table table{.title = "", .columns = {{"figure"}, {"value"}}, .rows = {}};
  if (headline.is_object()) add_figures("", headline, table);
  return table;
}

Table minimal_budget_table(const ReportInput& input) {
  Table table{.title = "",
              .columns = {{"search"},
                          {"n", true},
                          {"censored", true},
                          {"median norm", true},
                          {"median norm per nat of gap", true}},
              .rows = {},
              .note =
                  "A search is censored where the largest norm tried was not enough; half or more "
                  "censored: "
                  "the median is not known."};
  const std::vector<BudgetSearch> searches = budget_searches(input);
  for (const std::string& series : series_of(searches)) {
    std::vector<double> budgets, per_nat;
    int64_t censored = 0;
    for (const BudgetSearch& search : searches) {
      if (search.series != series) continue;
      censored += search.is_censored();
      budgets.push_back(search.budget);
      per_nat.push_back(search.budget / search.gap);
    }
    table.rows.push_back({series,
                          std::to_string(budgets.size()),
                          std::to_string(censored),
                          median_text(budgets),
                          median_text(per_nat)});
  }
  return table;
}

Table prompt_table(const ReportInput& input, bool show_text) {
  Table table{.title = "",
              .columns = {{"prompt"}, {"split"}, {"flip"}, {"base", true}, {"defended", true}},
              .rows = {},
              .note =
                  "✓ recovered, with the final score; the numbers in the header are those of "
                  "the attack table."};
  if (show_text) table.columns.insert(table.columns.begin() + 1, {"text"});
  std::vector<std::string> attacks;
  for (size_t i = 0; i < input.summary.rows.size(); ++i) {
    if (!input.summary.rows[i].is_attack()) continue;
    attacks.push_back(input.summary.rows[i].name);
    table.columns.push_back({concat("#", i + 1), true});
  }
  std::map<std::pair<std::string, int64_t>, std::string> outcomes;
  for (const StoredResult& result : input.results) {
    const std::string verdict = words(result.figures.value("verdict", ""));
    outcomes.emplace(
        std::pair(result.row, result.prompt),
        concat(result.recovered ? "✓ " : "✗ ", verdict.empty() ? show(score_of(result)) : verdict));
  }
  for (const StoredExample& example : input.examples) {
    Cells cells = {example.id.empty() ? std::to_string(example.prompt) : example.id, example.split};
    for (std::string& cell : flip_cells(example)) cells.push_back(std::move(cell));
    if (show_text) cells.insert(cells.begin() + 1, example.text);
    for (const std::string& attack : attacks) {
      const auto found = outcomes.find({attack, example.prompt});
      cells.push_back(found == outcomes.end() ? "" : found->second);
    }
    table.rows.push_back(cells);
  }
  return table;
}

std::vector<Table> json_tables(const std::string& title, const Json& json) {
  std::vector<Table> tables;
  if (json.is_array()) {
    if (!json.empty()) tables.push_back(list_table(title, json));
    return tables;
  }
  if (!json.is_object()) return tables;
  Table figures{.title = title, .columns = {{"figure"}, {"value"}}, .rows = {}};
  add_figures("", json, figures);
  if (!figures.rows.empty()) tables.push_back(figures);
  for (const auto& [key, value] : json.items()) {
    if (value.is_array() && !value.empty() && value[0].is_object()) {
      tables.push_back(list_table(words(key), value));
    }
  }
  return tables;
}

}  // namespace rebound
