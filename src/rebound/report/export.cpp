#include "rebound/report/export.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "rebound/report/example_data.h"
#include "rebound/report/figure.h"

namespace rebound {
namespace {

// The contract's order; what rows have beside these follows by name.
const std::vector<std::string> kRowColumns = {"name",
                                              "control",
                                              "target",
                                              "objective",
                                              "constraint",
                                              "threat_model",
                                              "scope",
                                              "budget",
                                              "n_valid",
                                              "recovered",
                                              "rate",
                                              "ci_low",
                                              "ci_high",
                                              "drift_pre_l2",
                                              "drift_pre_rel",
                                              "drift_post_l2",
                                              "drift_post_rel",
                                              "reactivated_fraction",
                                              "zero_reactivation",
                                              "norm_mean",
                                              "norm_rel_mean",
                                              "kl_to_base",
                                              "seconds_per_prompt"};

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

// Collects lines and, in the order in which they first come, columns.
class Builder {
 public:
  explicit Builder(std::vector<std::string> columns)
      : columns_(std::move(columns)), known_(columns_.begin(), columns_.end()) {}

  void start_line() { lines_.push_back(Json::object()); }

  // A name that the line has already got is left as it is.
  void put(const std::string& name, const Json& value) {
    const std::string column = column_name(name);
    Json& line = lines_.back();
    if (line.contains(column)) return;
    line[column] = value;
    if (known_.insert(column).second) further_.insert(column);
  }

  void put_all(const std::string& prefix, const Json& object) {
    if (!object.is_object()) return;
    for (const auto& [key, value] : object.items()) {
      const std::string name = prefix.empty() ? key : prefix + "_" + key;
      if (value.is_object()) {
        put_all(name, value);
      } else {
        put(name, value);
      }
    }
  }

  Records finish() {
    columns_.insert(columns_.end(), further_.begin(), further_.end());
    return {std::move(columns_), std::move(lines_)};
  }

 private:
  std::vector<std::string> columns_;
  std::set<std::string> known_, further_;
  std::vector<Json> lines_;
};

Records row_records(const AuditSummary& summary) {
  Builder builder(kRowColumns);
  for (const RowSummary& row : summary.rows) {
    builder.start_line();
    builder.put_all("", to_json(row));
  }
  return builder.finish();
}

void put_example(const StoredExample& example, bool show_text, Builder& builder) {
  builder.put("prompt", example.prompt);
  builder.put("id", example.id);
  builder.put("split", example.split);
  builder.put("is_valid", example.is_valid);
  builder.put("base_score", number_or_null(example.base_score));
  builder.put("defended_score", number_or_null(example.defended_score));
  if (show_text) {
    builder.put("text", example.text);
    builder.put("ids", example.ids);
    builder.put("correct", example.correct);
    builder.put("wrong", example.wrong);
  }
  builder.put_all("", example.extra);
}

// Outcome columns are named by the row's number, as in the reports: row_3_recovered.
Records example_records(const ReportInput& input, bool show_text) {
  std::vector<std::string> columns = {
      "prompt", "id", "split", "is_valid", "base_score", "defended_score"};
  if (show_text) columns.insert(columns.end(), {"text", "ids", "correct", "wrong"});
  std::map<std::string, std::string> prefixes;
  for (size_t i = 0; i < input.summary.rows.size(); ++i) {
    if (!input.summary.rows[i].is_attack()) continue;
    prefixes.emplace(input.summary.rows[i].name, concat("row_", i + 1));
    for (const char* figure : {"_recovered", "_score"})
      columns.push_back(concat("row_", i + 1, figure));
  }
  std::map<int64_t, std::vector<const StoredResult*>> by_prompt;
  for (const StoredResult& result : input.results) by_prompt[result.prompt].push_back(&result);
  Builder builder(columns);
  for (const StoredExample& example : input.examples) {
    builder.start_line();
    put_example(example, show_text, builder);
    for (const StoredResult* result : by_prompt[example.prompt]) {
      const auto prefix = prefixes.find(result->row);
      if (prefix == prefixes.end()) continue;
      builder.put(prefix->second + "_recovered", result->recovered);
      builder.put(prefix->second + "_score", number_or_null(score_of(*result)));
    }
  }
  return builder.finish();
}

Records result_records(const ReportInput& input, bool show_text) {
  std::map<std::string, const RowSummary*> rows;
  for (const RowSummary& row : input.summary.rows) rows.emplace(row.name, &row);
  std::map<int64_t, std::string> ids;
  for (const StoredExample& example : input.examples) ids[example.prompt] = example.id;
  Builder builder({"row",
                   "control",
                   "prompt",
                   "id",
                   "variant",
                   "recovered",
                   "score",
                   "recheck_score",
                   "steps",
                   "seconds",
                   "termination"});
  for (const StoredResult& result : input.results) {
    const auto found = rows.find(result.row);
    const RowSummary* row = found == rows.end() ? nullptr : found->second;
    builder.start_line();
    builder.put("row", result.row);
    builder.put("control", row && row->control ? Json(*row->control) : Json());
    builder.put("prompt", result.prompt);
    builder.put("id", ids[result.prompt]);
    builder.put("variant", variant_name(row, result.variant, show_text));
    builder.put("recovered", result.recovered);
    builder.put("score", number_or_null(score_of(result)));
    builder.put("recheck_score", number_or_null(result.recheck_score));
    builder.put("steps", result.steps);
    builder.put("seconds", number_or_null(result.seconds));
    builder.put("termination", result.termination);
    builder.put_all("", result.figures);
  }
  return builder.finish();
}

Records step_records(const ReportInput& input) {
  Builder builder({"row", "prompt", "step", "objective", "drift_pre", "norm"});
  for (const TracePoint& point : input.traces) {
    builder.start_line();
    builder.put("row", point.row);
    builder.put("prompt", point.prompt);
    builder.put("step", point.step);
    builder.put("objective", number_or_null(point.objective));
    builder.put("drift_pre", number_or_null(point.drift_pre));
    builder.put("norm", number_or_null(point.norm));
  }
  return builder.finish();
}

std::string dumped(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string csv_cell(const Json& line, const std::string& column) {
  const auto found = line.find(column);
  if (found == line.end() || found->is_null()) return "";
  return escape_csv(found->is_string() ? found->get<std::string>() : dumped(*found));
}

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string column_name(const std::string& name) {
  std::string column;
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (is_word(c)) {
      column += c;
    } else if (!column.empty() && column.back() != '_') {
      column += '_';
    }
  }
  while (!column.empty() && column.back() == '_') column.pop_back();
  const bool needs_letter = column.empty() || (column[0] >= '0' && column[0] <= '9');
  return needs_letter ? "column_" + column : column;
}

Records export_records(const ReportInput& input, ExportTable table, const ReportOptions& options) {
  if (table == ExportTable::kExamples) return example_records(input, options.show_text);
  if (table == ExportTable::kResults) return result_records(input, options.show_text);
  if (table == ExportTable::kSteps) return step_records(input);
  return row_records(input.summary);
}

std::string csv_export(const Records& records) {
  std::string csv;
  for (const std::string& column : records.columns)
    csv += (csv.empty() ? "" : ",") + escape_csv(column);
  csv += "\n";
  for (const Json& line : records.lines) {
    for (size_t c = 0; c < records.columns.size(); ++c)
      csv += (c ? "," : "") + csv_cell(line, records.columns[c]);
    csv += "\n";
  }
  return csv;
}

std::string jsonl_export(const Records& records) {
  std::string lines;
  for (const Json& line : records.lines) {
    nlohmann::ordered_json ordered = nlohmann::ordered_json::object();
    for (const std::string& column : records.columns) {
      const auto found = line.find(column);
      ordered[column] =
          found == line.end() ? nlohmann::ordered_json() : nlohmann::ordered_json(*found);
    }
    lines += ordered.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
  return lines;
}

std::string json_report(const AuditSummary& summary) {
  return summary.to_json().dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rebound
