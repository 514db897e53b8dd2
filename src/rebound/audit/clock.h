#pragma once
// Wall time of a row.
#include <chrono>

namespace rebound {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace rebound
