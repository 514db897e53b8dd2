// A finished audit as text: pure functions of what was stored (run_input.h reads it), none of them
// reads or writes files.
//
//   write_file_atomically(folder / "report.html", html_report(input));
//   std::cout << markdown_report(input);
//
// For terminals see terminal.h. Examples appear by id; the text of a prompt, its tokens and its
// answers only with `show_text`. Completions are never stored.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

// How long a perturbation is at each position that it may touch.
struct PositionNorms {
  std::string row = {};
  int64_t prompt = 0;
  std::vector<double> norms = {};  // in the order of the spec's positions
};

struct ReportInput {
  AuditSummary summary;
  Json spec = nullptr;  // the effective spec
  std::vector<StoredExample> examples = {};
  std::vector<StoredResult> results = {};
  std::vector<TracePoint> traces = {};
  std::vector<PositionNorms> positions = {};
  // Of the headline row's perturbation, by prompt: {"parts": [{"name", "norm", "shapley"}],
  // "sites": [{"name", "norm"}]}; a list that was not measured is empty.
  std::map<int64_t, Json> routes = {};
};

struct ReportOptions {
  bool show_text = false;
};

std::string markdown_report(const ReportInput& input, const ReportOptions& options = {});
// One self-contained page: no request leaves it, it prints, and it follows the reader's light or
// dark setting. Everything is there without JavaScript, too, but for the charts and the details of
// an example.
std::string html_report(const ReportInput& input, const ReportOptions& options = {});
// summary.json itself.
std::string json_report(const AuditSummary& summary);

}  // namespace rebound
