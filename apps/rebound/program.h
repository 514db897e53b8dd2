// The program without its main(): flags shared by every verb, exit codes, and one verb run.
//
// Exit codes: 0 done, 1 a fault of the program or its libraries, 2 flags or spec, 3 a file's
// contents, 4 numbers, 5 reading or writing, 130 interrupted.
#pragma once

#include <functional>

namespace rebound {

// What `rebound argv[1] ...` does; results on stdout, everything else on stderr. Returns the exit
// code; errors are one line and throw nothing. `before_products` is called once, after the flags
// were read and before a verb that multiplies matrices runs.
int run_rebound(
    int argc, const char* const* argv, const std::function<void()>& before_products = [] {});

// Ctrl-C ends the program with 130; verbs that can save and resume install their own handler while
// they run.
void stop_at_once(int signal);

}  // namespace rebound
