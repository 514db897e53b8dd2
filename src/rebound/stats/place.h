#pragma once
// Counts are int64_t here, places in containers are size_t.
#include <cstddef>
#include <cstdint>

namespace rebound {

inline size_t place(int64_t i) { return static_cast<size_t>(i); }

}  // namespace rebound
