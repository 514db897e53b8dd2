// Named random streams: the numbers of a stream depend on the seed and its keys alone, never on
// how many numbers other streams drew, the batch layout or the thread count.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace rebound {

class Rng {
 public:
  // rng({seed, prompt_index, draw}): keys are mixed with splitmix64.
  explicit Rng(std::initializer_list<uint64_t> keys);

  uint64_t next();               // splitmix64
  double uniform();              // [0, 1)
  double normal();               // Box-Muller
  int64_t below(int64_t bound);  // [0, bound), bound > 0, unbiased by rejection
  std::vector<float> normals(int64_t count);
  void shuffle(std::vector<int64_t>& items);  // Fisher-Yates

 private:
  uint64_t state_;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace rebound
