// Runs the program under test: REBOUND_PROGRAM with arguments of the shell.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace rebound {

struct Outcome {
  int exit_code;
  std::string text;  // standard output; with "2>&1" among the arguments the errors too
};

inline Outcome run_program(const std::string& arguments) {
  FILE* pipe = popen((std::string(REBOUND_PROGRAM) + " " + arguments).c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer;
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), count);
  }
  return {WEXITSTATUS(pclose(pipe)), text};
}

}  // namespace rebound
