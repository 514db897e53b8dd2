#include "terminal_size.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace rebound {
namespace {

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// 0 where it is no positive number of a sane length.
size_t number_of(const std::string& text) {
  const bool is_number =
      !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? static_cast<size_t>(std::stoul(text)) : 0;
}

size_t columns_of_stdout() {
  if (const size_t columns = number_of(environment_variable("COLUMNS"))) return columns;
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return TerminalStyle{}.width;
}

}  // namespace

TerminalStyle style_of_stdout(const TerminalWishes& wishes) {
  const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  const bool is_colourless = wishes.no_color || !environment_variable("NO_COLOR").empty() ||
                             environment_variable("TERM") == "dumb";
  return TerminalStyle{.width = columns_of_stdout(),
                       .has_color = is_terminal && !is_colourless,
                       .is_ascii = wishes.is_ascii}
      .within_limits();
}

}  // namespace rebound
