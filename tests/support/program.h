// Runs the program under test with arguments of the shell: REBOUND_SESSION, which ctest has ready
// (session/session.h), or REBOUND_PROGRAM, the program itself.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

namespace rebound {

struct Outcome {
  int exit_code;
  std::string text;  // standard output; with "2>&1" among the arguments the errors too
};

inline Outcome run_program(const std::string& arguments,
                           const std::string& program = REBOUND_SESSION) {
  FILE* pipe = popen((program + " " + arguments).c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer;
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), count);
  }
  return {WEXITSTATUS(pclose(pipe)), text};
}

// Bad input's one clear line, which has `words` in it.
inline void expect_one_line(const Outcome& outcome, int exit_code, const std::string& words) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.text;
  EXPECT_NE(outcome.text.find(words), std::string::npos) << outcome.text;
  EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
}

}  // namespace rebound
