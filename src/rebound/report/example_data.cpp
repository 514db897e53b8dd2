#include "rebound/report/example_data.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "rebound/report/chart_parts.h"
#include "rebound/report/figure.h"
#include "rebound/report/scope.h"

namespace rebound {
namespace {

// So many steps are in the page; the store and `--table steps` have all.
constexpr size_t kMostTracePoints = 40000;
constexpr size_t kMostMovedLists = 100, kMostMovedFeatures = 5;

using Results = std::vector<const StoredResult*>;

Json rounded_or_null(double value) {
  return std::isfinite(value) ? Json(chart_parts::rounded(value)) : Json();
}

std::string verdict_of(const StoredExample& example, const char* run) {
  const Json answer = example.extra.is_object() ? example.extra.value(run, Json()) : Json();
  return answer.is_object() ? words(show_json(answer.value("verdict", Json("–")))) : "–";
}

// Further facts of an example: its category, its set, near-duplicates.
std::string note_of(const StoredExample& example) {
  std::string note;
  if (!example.extra.is_object()) return note;
  for (const auto& [key, value] : example.extra.items()) {
    if (value.is_object() || value.is_array() || key == "flip") continue;
    note += concat(note.empty() ? "" : ", ", words(key), " ", show_json(value));
  }
  return note;
}

Json example_columns(const ReportInput& input, bool show_text) {
  Json columns = Json::object();
  for (const char* name : {"prompt", "id", "split", "flip", "base", "defended", "note"})
    columns[name] = Json::array();
  const auto add = [&](const char* name, const Json& value) { columns[name].push_back(value); };
  for (const StoredExample& example : input.examples) {
    const bool has_answers = example.extra.is_object() && example.extra.contains("flip");
    add("prompt", example.prompt);
    add("id", plain(example.id.empty() ? std::to_string(example.prompt) : example.id));
    add("split", plain(example.split));
    add("flip",
        has_answers        ? words(show_json(example.extra.at("flip")))
        : example.is_valid ? "yes"
                           : "no");
    add("base",
        has_answers ? Json(verdict_of(example, "base")) : rounded_or_null(example.base_score));
    add("defended",
        has_answers ? Json(verdict_of(example, "defended"))
                    : rounded_or_null(example.defended_score));
    add("note", note_of(example));
    if (!show_text) continue;
    add("text", example.text);
    add("ids", example.ids);
    add("correct", example.correct);
    add("wrong", example.wrong);
  }
  return columns;
}

// Figures of a result by name, nested ones as outer_inner; without hashes.
void collect(const std::string& prefix, const Json& figures, std::map<std::string, Json>& named) {
  if (!figures.is_object()) return;
  for (const auto& [key, value] : figures.items()) {
    const std::string name = prefix.empty() ? key : prefix + "_" + key;
    if (value.is_object()) {
      collect(name, value, named);
    } else if (!value.is_null() && !value.is_array() && !key.ends_with("sha256")) {
      named[name] = value.is_number_float() ? rounded_or_null(value.get<double>())
                    : value.is_string()     ? Json(plain(value.get<std::string>()))
                                            : value;
    }
  }
}

bool has_many_tries(const Results& results) {
  std::set<int64_t> prompts;
  return !std::all_of(results.begin(), results.end(), [&](const StoredResult* result) {
    return prompts.insert(result->prompt).second;
  });
}

void add_figures(const Results& results, bool is_brief, Json& columns) {
  std::vector<std::map<std::string, Json>> figures(results.size());
  std::set<std::string> names;
  for (size_t i = 0; i < results.size(); ++i) {
    collect("", results[i]->figures, figures[i]);
    for (const auto& [name, value] : figures[i]) {
      if (!is_brief || name == "minimal_budget" || name == "gap" || name == "verdict")
        names.insert(name);
    }
  }
  for (const std::string& name : names) {
    if (columns.contains(name)) continue;  // a column of the store wins
    Json column = Json::array();
    for (const auto& of_result : figures) {
      const auto found = of_result.find(name);
      column.push_back(found == of_result.end() ? Json() : found->second);
    }
    columns[name] = std::move(column);
  }
}

Json result_columns(const RowSummary& row, const Results& results, bool show_text) {
  Json columns = Json::object();
  for (const char* name : {"prompt", "recovered", "score"}) columns[name] = Json::array();
  const bool is_brief = has_many_tries(results);
  const bool has_variants = std::any_of(
      results.begin(), results.end(), [](const auto* r) { return !r->variant.empty(); });
  const auto add = [&](const char* name, const Json& value) { columns[name].push_back(value); };
  for (const StoredResult* result : results) {
    add("prompt", result->prompt);
    add("recovered", result->recovered ? 1 : 0);
    add("score", rounded_or_null(score_of(*result)));
    if (has_variants) add("variant", plain(variant_name(&row, result->variant, show_text)));
    if (is_brief) continue;
    add("re-check", rounded_or_null(result->recheck_score));
    add("steps", result->steps);
    add("seconds", rounded_or_null(result->seconds));
    add("termination", plain(result->termination));
  }
  add_figures(results, is_brief, columns);
  for (const char* name : {"re-check", "seconds"}) {
    const bool is_empty =
        columns.contains(name) && std::all_of(columns[name].begin(),
                                              columns[name].end(),
                                              [](const Json& value) { return value.is_null(); });
    if (is_empty) columns.erase(name);
  }
  return columns;
}

Json row_list(const ReportInput& input, bool show_text) {
  std::map<std::string, Results> by_row;
  for (const StoredResult& result : input.results) by_row[result.row].push_back(&result);
  Json rows = Json::array();
  for (size_t i = 0; i < input.summary.rows.size(); ++i) {
    const RowSummary& row = input.summary.rows[i];
    const Results& results = by_row[row.name];
    rows.push_back({{"number", i + 1},
                    {"name", plain(row.name)},
                    {"role", row.is_attack() ? "attack" : plain(words(*row.control))},
                    {"many", has_many_tries(results)},
                    {"results", result_columns(row, results, show_text)}});
  }
  return rows;
}

Json headline_place(const AuditSummary& summary) {
  const RowSummary* headline = headline_row(summary);
  return headline ? Json(headline - summary.rows.data()) : Json();
}

// Whole examples, in order, as long as there is room.
void add_steps(const ReportInput& input, Json& data) {
  std::map<int64_t, std::vector<const TracePoint*>> by_prompt;
  for (const TracePoint& point : input.traces) by_prompt[point.prompt].push_back(&point);
  Json steps = Json::array();
  size_t left_out = 0;
  for (const auto& [prompt, points] : by_prompt) {
    if (steps.size() + points.size() > kMostTracePoints) {
      ++left_out;
      continue;
    }
    for (const TracePoint* point : points) {
      steps.push_back({{"prompt", prompt},
                       {"row", plain(point->row)},
                       {"step", point->step},
                       {"objective", rounded_or_null(point->objective)},
                       {"drift_pre", rounded_or_null(point->drift_pre)},
                       {"norm", rounded_or_null(point->norm)}});
    }
  }
  data["steps"] = std::move(steps);
  data["steps_left_out"] = left_out;
}

Json position_list(const ReportInput& input) {
  Json list = Json::array();
  for (const PositionNorms& of : input.positions) {
    Json norms = Json::array();
    for (const double norm : of.norms) norms.push_back(rounded_or_null(norm));
    list.push_back({{"row", plain(of.row)}, {"prompt", of.prompt}, {"norms", norms}});
  }
  return list;
}

// Which defended features moved most, of the first examples of each row.
Json moved_list(const ReportInput& input) {
  std::map<std::string, size_t> lists;
  Json list = Json::array();
  for (const StoredResult& result : input.results) {
    if (!result.figures.is_object() || !result.figures.contains("drift_by_feature")) continue;
    if (++lists[result.row] > kMostMovedLists) continue;
    Json features = Json::array();
    for (const Json& moved : result.figures.at("drift_by_feature")) {
      if (!moved.is_object()) continue;
      const Json shift = moved.value("shift", Json());
      if (!shift.is_number() || features.size() == kMostMovedFeatures) continue;
      const std::string name =
          concat(show_json(moved.value("site", Json())), " · ", reading_name(input.summary, moved));
      features.push_back({name, rounded_or_null(shift.get<double>())});
    }
    if (!features.empty())
      list.push_back(
          {{"row", plain(result.row)}, {"prompt", result.prompt}, {"features", features}});
  }
  return list;
}

}  // namespace

double score_of(const StoredResult& result) {
  const bool is_budget = result.figures.is_object() && result.figures.contains("minimal_budget");
  return is_budget || result.termination == "measured" ? kNotMeasured : result.score;
}

std::string reading_name(const AuditSummary& summary, const Json& entry) {
  const Json clamps =
      summary.defence.is_object() ? summary.defence.value("clamps", Json()) : Json();
  for (const Json& clamp : clamps) {
    const bool is_direction = clamp.is_object() && clamp.contains("direction");
    if (is_direction && clamp.value("site", Json()) == entry.value("site", Json()))
      return "direction";
  }
  return show_json(entry.value("feature", Json()));
}

std::string variant_name(const RowSummary* row, const std::string& variant, bool show_text) {
  const bool is_injection = row && row->control == "inject";
  if (show_text || !is_injection || variant.starts_with("answer ")) return variant;
  const size_t colon = variant.find(':');
  const bool is_numbered =
      colon != std::string::npos && colon > 0 && variant.find_first_not_of("0123456789") == colon;
  return is_numbered ? "target " + variant.substr(0, colon) : variant.empty() ? "" : "target";
}

Json example_data(const ReportInput& input, const ReportOptions& options) {
  Json data = {{"redacted", !options.show_text},
               {"answers", is_about_answers(input)},
               {"headline", headline_place(input.summary)},
               {"examples", example_columns(input, options.show_text)},
               {"rows", row_list(input, options.show_text)},
               {"positions", position_list(input)},
               {"moved", moved_list(input)}};
  add_steps(input, data);
  Json routes = Json::object();
  for (const auto& [prompt, route] : input.routes) routes[std::to_string(prompt)] = route;
  data["routes"] = std::move(routes);
  return data;
}

}  // namespace rebound
