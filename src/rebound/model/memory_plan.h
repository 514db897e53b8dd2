// What a run takes in memory, said from headers and shapes before anything is loaded, and what fits
// under a limit. Estimates lie above what is measured (docs/model.md has both).
#pragma once

#include <cstdint>
#include <string>

#include "rebound/base/json.h"
#include "rebound/model/transformer.h"

namespace rebound {

// "800M", "1.5G", "2GiB", "1000000": bytes, K, M and G being powers of 1024. Throws ConfigError.
int64_t parse_bytes(const std::string& text);
std::string bytes_text(int64_t bytes);  // "1.50 GB", of 2^30

// Bytes of a model's weights in each form, its file's mapping included. Throws as load_model.
struct WeightBytes {
  int64_t float32 = 0;
  int64_t sixteen_bits = 0;
  int64_t stored = 0;

  static WeightBytes of(const std::string& path);
  int64_t in(const ModelLoadOptions& form) const;
};

// What is in work at once: `rows` rows of residual stream, each attending to `keys` positions.
struct RunShape {
  int64_t rows = 1;
  int64_t keys = 1;
  int64_t kept_layers = 0;  // whose intermediate values wait for a gradient
  int64_t scored_rows = 0;  // that get logits over the whole vocabulary
};
int64_t run_bytes(const ModelConfig& config, const RunShape& shape);

struct MemoryWish {
  int64_t limit = 0;       // bytes
  std::string dtype;       // as in dtype_named; empty: the plan chooses
  int64_t fixed = 0;       // besides weights: SAEs, caches
  int64_t at_once = 1;     // examples together, at most
  int64_t bytes_each = 0;  // of one example in work
};

struct MemoryPlan {
  int64_t limit = 0, program = 0, weights = 0, fixed = 0, working = 0;  // bytes
  std::string dtype;
  int64_t at_once = 1;

  int64_t total() const { return program + weights + fixed + working; }
  std::string text() const;  // one line
  Json to_json() const;
};

// Float32 weights if at least an eighth of the examples wished for fit beside them; else those as
// stored (the same numbers, slower products), else float16 (rounded), whichever lets most go at
// once. Throws ConfigError saying what the least would be.
MemoryPlan plan_memory(const MemoryWish& wish, const WeightBytes& weights);

int64_t resident_bytes();  // of this process, now

}  // namespace rebound
