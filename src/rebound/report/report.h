// A finished audit as text: pure functions of what was stored, none of them reads or writes files.
//
//   write_file_atomically(folder / "report.html", html_report(input));
//   std::cout << terminal_report(input.summary);
//
// Prompts appear by id; their text only with `show_text`. Completions are never stored.
#pragma once

#include <string>
#include <vector>

#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

struct ReportInput {
  AuditSummary summary;
  Json spec = nullptr;  // the effective spec
  std::vector<StoredExample> examples = {};
  std::vector<StoredResult> results = {};
};

struct ReportOptions {
  bool show_text = false;
};

// At most 110 columns wide; ends with a line break.
std::string terminal_report(const AuditSummary& summary);
std::string markdown_report(const ReportInput& input, const ReportOptions& options = {});
// One self-contained page: no request leaves it, it prints, and it follows the reader's light or
// dark setting.
std::string html_report(const ReportInput& input, const ReportOptions& options = {});
// The rows alone, one line each, every figure of the contract and of `extra` a column.
std::string csv_report(const AuditSummary& summary);
std::string json_report(const AuditSummary& summary);

}  // namespace rebound
