// Parts of a terminal report that are drawn from a run's searches and attribution. Each is "" where
// the run has nothing of it.
#pragma once

#include <string>

#include "rebound/report/report.h"
#include "rebound/report/terminal_style.h"

namespace rebound {

// How the norms that searches ended with, per nat of gap, are distributed: one line a series, all
// over the same logarithmic axis.
std::string budget_part(const ReportInput& input, const TerminalStyle& style);
// Each part of the perturbation replayed, taken out, and its Shapley share.
std::string attribution_part(const AuditSummary& summary, const TerminalStyle& style);
// Norm of the perturbation at each clamped site, of runs with several.
std::string site_part(const AuditSummary& summary, const TerminalStyle& style);

// A name, a length from 0 to 1, and what it stands for.
struct LengthLine {
  std::string name;
  double length = 0;
  std::string figure;
};
// One line each, names and lengths below one another; figures that do not fit are cut.
std::string length_lines(const std::vector<LengthLine>& lines, const TerminalStyle& style);

}  // namespace rebound
