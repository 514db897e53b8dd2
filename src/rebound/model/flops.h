// Counts the matrix-product FLOPs (2 m n k) of forward passes on this thread, so that tests can
// say what was not recomputed and reports can state cost. Backward passes cost the same again
// for the input gradient and are not counted.
#pragma once

#include <cstdint>

namespace rebound {

class FlopCount {
 public:
  static void add(int64_t flops) { total_ += flops; }
  static int64_t total() { return total_; }

 private:
  static inline thread_local int64_t total_ = 0;
};

}  // namespace rebound
