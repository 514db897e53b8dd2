// A whole training: text contexts -> frozen model -> activations -> SAE, resumable.
//
// Tokens are harvested in rounds of at most `buffer_tokens` (1152 bytes each on disk at
// d_model 576) and each round is read `passes` times in shuffled order: running the model costs
// several times a training step. In OUT:
//
//   checkpoint/activations.bf16   the round's activations, sinks left out
//   checkpoint/harvest.json       {"round", "rows", "contexts"}: what of them is valid
//   checkpoint/state.safetensors  the trainer's state
//   checkpoint/options.json       what a resumed run must agree with
//   cfg.json, sae_weights.safetensors   the finished SAE (SAELens v6, float16)
//
// A resumed run gives the same SAE, bit for bit on the same machine and threads, as one that was
// never stopped.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>

#include "rebound/model/transformer.h"
#include "rebound/sae/trainer.h"

namespace rebound {

struct TrainRunOptions {
  // Changes results.
  TrainOptions train;
  Site site;
  int64_t tokens = 2'000'000;         // harvested, sinks not counted
  int64_t passes = 5;                 // over each round
  int64_t buffer_tokens = 2'000'000;  // most tokens of a round
  double target_l0 = 32;              // of the threshold, on training activations
  bool is_pointwise = true;           // false: keep the TopK form
  Json metadata = Json::object();     // into cfg.json

  // Changes speed and safety only.
  std::filesystem::path out;
  bool resume = false;
  bool keep_activations = false;
  int64_t harvest_batch = 16;  // contexts
  double checkpoint_seconds = 120;
  int64_t stop_after_steps = -1;  // for tests: checkpoint and leave

  int64_t rounds() const;
  int64_t round_rows() const;
  int64_t steps_per_pass() const;
  int64_t total_steps() const;
  void validate() const;
};

// `contexts` [n, pos] int32 are used in order: shuffle them before (shuffle_contexts). Throws
// ConfigError when they are too few, or when a resumed run differs in options. Returns nothing
// when stopped by stop_after_steps.
std::optional<Sae> train_sae(const Transformer& model,
                             const at::Tensor& contexts,
                             const TrainRunOptions& options);

at::Tensor shuffle_contexts(const at::Tensor& contexts, uint64_t seed);

}  // namespace rebound
