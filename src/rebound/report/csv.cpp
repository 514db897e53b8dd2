#include <set>

#include "rebound/report/figure.h"
#include "rebound/report/report.h"

namespace rebound {
namespace {

const std::vector<std::string> kColumns = {"name",
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

// Full precision; empty where not measured.
std::string csv_cell(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  if (found == row.end() || found->is_null()) return "";
  return escape_csv(found->is_string() ? found->get<std::string>() : found->dump());
}

}  // namespace

std::string csv_report(const AuditSummary& summary) {
  std::vector<std::string> columns = kColumns;
  std::set<std::string> further;
  for (const RowSummary& row : summary.rows) {
    for (const auto& [key, value] : row.extra.items()) further.insert(key);
  }
  columns.insert(columns.end(), further.begin(), further.end());

  std::string csv;
  for (const std::string& column : columns) csv += (csv.empty() ? "" : ",") + escape_csv(column);
  csv += "\n";
  for (const RowSummary& row : summary.rows) {
    const Json json = to_json(row);
    for (size_t c = 0; c < columns.size(); ++c) csv += (c ? "," : "") + csv_cell(json, columns[c]);
    csv += "\n";
  }
  return csv;
}

std::string json_report(const AuditSummary& summary) {
  return summary.to_json().dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rebound
