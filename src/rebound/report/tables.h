// Which tables a report has: one description, printed by every format.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/report.h"
#include "rebound/report/table.h"

namespace rebound {

// kShort: what fits a terminal. kFull: every figure of the contract.
enum class Detail { kShort, kFull };
// In the order of the summary.
Table attack_table(const AuditSummary& summary, Detail detail);
// In the order of kControls.
Table control_table(const AuditSummary& summary, Detail detail);
// What each control asks, one line per kind present.
Table question_table(const AuditSummary& summary);

// The named figures of the headline, without its per-prompt list of minimal budgets.
Table headline_table(const Json& headline);
// Recover against inject, in norm and per nat of gap; no rows where nothing was searched.
Table minimal_budget_table(const ReportInput& input);

// One line per example, one column per attack row.
Table prompt_table(const ReportInput& input, bool show_text);

// Any JSON object: its figures in one table, each list of objects in a table of its own.
std::vector<Table> json_tables(const std::string& title, const Json& json);

}  // namespace rebound
