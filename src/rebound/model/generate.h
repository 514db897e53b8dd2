// Text generation with a key/value cache: greedy, temperature, top-p. One prompt at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "rebound/model/transformer.h"

namespace rebound {

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // keeps the smallest set of tokens with at least this probability
  uint64_t seed = 0;
  std::set<int64_t> stop_tokens;
  // Called after each token; returning false ends the generation.
  std::function<bool(int64_t token)> on_token;
  void validate() const;  // ConfigError
};

// Edits of `hooks` stay live on every new token. Returns the new tokens, without the stop token.
std::vector<int64_t> generate(const Transformer& model,
                              const std::vector<int64_t>& prompt,
                              const GenerateOptions& options,
                              const Hooks& hooks = {});

}  // namespace rebound
