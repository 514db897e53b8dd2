#pragma once
// Short texts of numbers.
#include <cstdio>
#include <string>

namespace rebound {

// printf into a string of at most 95 characters.
template <class... Numbers>
std::string format_text(const char* format, Numbers... numbers) {
  char line[96];
  std::snprintf(line, sizeof line, format, numbers...);
  return line;
}

}  // namespace rebound
