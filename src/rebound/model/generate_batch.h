// Greedy continuation of a batch of prompts with a key/value cache and live hooks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "rebound/model/transformer.h"

namespace rebound {

struct GenerateBatchOptions {
  // Changes results.
  int64_t max_new_tokens = 64;
  std::set<int64_t> stop_tokens;  // one of these ends its example
  // May replace the greedy tokens [batch] int64 of a step before they are kept and fed, so that a
  // twin takes the tokens of its sibling. Finished examples are in the batch too; what stands there
  // is fed but not kept.
  std::function<at::Tensor(const at::Tensor& greedy)> next_tokens;

  // Changes speed only, if every edit treats each example by itself and needs no fixed batch. Edits
  // that hold values per example: call generate_batch from run_parts, with hooks for each part.
  bool keeps_finished = true;     // false: finished examples leave, and edits see a smaller batch
  bool is_split_allowed = false;  // parts of the batch on several threads (run_parts)

  // ConfigError. next_tokens needs the whole batch: keeps_finished and no split.
  void validate() const;
};

// The new tokens of each prompt, without the stop token. The likeliest token each time, the lowest
// id on ties. An example ends at a stop token, after max_new_tokens, or when prompt and answer fill
// the model's max_position_embeddings. Edits of `hooks` stay live on every new token (decoder.h).
std::vector<std::vector<int64_t>> generate_batch(const Transformer& model,
                                                 const std::vector<std::vector<int64_t>>& prompts,
                                                 const GenerateBatchOptions& options,
                                                 const Hooks& hooks = {});

}  // namespace rebound
