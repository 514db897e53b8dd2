// What a page asks of the bench, read strictly from JSON: unknown keys, wrong types and sizes past
// the limits are a ConfigError naming the key.
//
//   {"prompt": "When Mary and John", "chat": false,
//    "clamps": [{"sae": 0, "feature": 3155, "kind": "set", "value": -5, "when": "active_only"}],
//    "max_new_tokens": 48}
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/intervene/edit.h"

namespace rebound {

struct BenchLimits {
  size_t prompt_bytes = 16 * 1024;
  int64_t prompt_tokens = 512;
  int64_t new_tokens = 256;
  size_t clamps = 64;
  int64_t features = 100;  // listed of each SAE
};

struct BenchClamp {
  int64_t sae = 0;  // place in the bench's list
  int64_t feature = 0;
  EditKind kind = EditKind::kSet;
  EditWhen when = EditWhen::kActiveOnly;
  double value = 0;
};

struct BenchRequest {
  std::string prompt;
  bool is_chat = false;  // one message of a user, in the model's chat template
  std::vector<BenchClamp> clamps;
  int64_t max_new_tokens = 48;
  int64_t features = 24;  // listed of each SAE, largest peaks first
};

BenchRequest read_bench_request(const Json& json, const BenchLimits& limits);
std::vector<BenchClamp> read_bench_clamps(const Json& json, const BenchLimits& limits);

}  // namespace rebound
