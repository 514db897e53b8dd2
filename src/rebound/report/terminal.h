// A finished run as text for a terminal: pure functions of what was stored and of a style.
//
//   std::cout << terminal_report(read_run("runs/first"), {.width = 80, .has_color = true});
//
// No line is longer than the style's width. Examples appear by id; their text only with
// `show_text`.
#pragma once

#include <string>

#include "rebound/report/report.h"
#include "rebound/report/terminal_style.h"

namespace rebound {

// The verdict and its sentence, the rows of the ladder and the controls with their shares drawn,
// how minimal budgets are distributed, where the perturbation travels, part by part and site by
// site, and what was not tested. What a run did not measure is left out.
std::string terminal_report(const ReportInput& input, const TerminalStyle& style = {});

// Every figure of every row.
std::string terminal_rows(const ReportInput& input, const TerminalStyle& style = {});

// One example: without the defence, with it, and under every row; where its perturbation sits, and
// the steps of its search where the run was traced. `id`: that of the example, or its number.
// ConfigError naming some ids where there is none such.
std::string terminal_example(const ReportInput& input,
                             const std::string& id,
                             const TerminalStyle& style = {},
                             const ReportOptions& options = {});

}  // namespace rebound
