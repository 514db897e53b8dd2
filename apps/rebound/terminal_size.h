// What standard output is: a terminal of so many columns, with colours or without.
#pragma once

#include "rebound/report/terminal_style.h"

namespace rebound {

struct TerminalWishes {
  bool no_color = false;
  bool is_ascii = false;
};

// Columns: COLUMNS where it is a positive number, else what the terminal says, else 100. Colours:
// on a terminal, unless not wished for, NO_COLOR is set to anything but nothing, or TERM is dumb.
TerminalStyle style_of_stdout(const TerminalWishes& wishes = {});

}  // namespace rebound
