// What an audit tested and what it did not, read off the run itself.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/report.h"

namespace rebound {

struct Scope {
  std::vector<std::string> tested;
  std::vector<std::string> not_tested;
};

Scope scope_of(const ReportInput& input);

// The row that the verdict is about: headline.row, else the first attack; null without rows.
const RowSummary* headline_row(const AuditSummary& summary);
// Answers were generated and judged, not the score of a next token.
bool is_about_answers(const ReportInput& input);
// A verdict in words that need no others; "" for one that is not known here.
std::string meaning_of_verdict(const std::string& verdict);

}  // namespace rebound
