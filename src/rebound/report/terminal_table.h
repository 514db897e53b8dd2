// Tables of recoveries on a terminal, each row with its share drawn.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/table.h"
#include "rebound/report/terminal_style.h"

namespace rebound {

// Tables of the same columns, of which the first is the row's name, the next two its count and
// interval, with one bar a row. Where they do not fit side by side, costs go first, then norms and
// judgements, and a last line names them; under 64 columns each row takes several lines.
std::string bar_tables(const std::vector<Table>& tables, const TerminalStyle& style);

// What the shades of interval_bar mean, for below the tables.
std::string bar_legend(const TerminalStyle& style);

}  // namespace rebound
