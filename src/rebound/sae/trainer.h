// Training of TopK and BatchTopK SAEs, one batch at a time.
//
// Inputs are scaled so that the mean squared distance from their mean is d_in, b_dec starts at
// that mean; in that space, with x' = s x - b_dec,
//
//   f    = top k of (x' W_enc + b_enc), per token (TopK) or k * tokens per batch (BatchTopK)
//   loss = |f W_dec - x'|^2 / (tokens d_in)                            about the FVU
//        + aux_coefficient |f_dead W_dec - r|^2 / |r|^2,   r = x' - f W_dec held constant
//
// where f_dead are the aux_k largest codes of latents that have been off for dead_after_tokens
// (AuxK, Gao et al. 2024, section A.2). Adam with warm-up and linear decay to zero; decoder rows
// keep norm 1, their gradient loses its part along the row. The encoder product runs in bfloat16,
// all else in float32 on active latents only (sparse_code.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/sae/sae.h"
#include "rebound/sae/sparse_code.h"

namespace rebound {

enum class Selection { kTopK, kBatchTopK };
std::string to_string(Selection selection);          // "topk", "batchtopk"
Selection parse_selection(const std::string& name);  // throws ConfigError

struct TrainOptions {
  // Changes results.
  Selection selection = Selection::kBatchTopK;
  int64_t d_sae = 6144;
  int64_t k = 32;
  int64_t batch_tokens = 4096;
  double lr = 1e-3;             // peak
  int64_t warmup_steps = 100;   // linear from 0
  double decay_fraction = 0.5;  // last part of the steps: linear to 0
  int64_t aux_k = 256;          // 0: no AuxK
  double aux_coefficient = 1.0 / 32;
  double aux_token_fraction = 0.25;  // AuxK sees the first part of each batch
  int64_t dead_after_tokens = 300'000;
  uint64_t seed = 0;

  void validate() const;
  Json to_json() const;
};

struct StepStats {
  double fvu = 0;         // of this batch, in training (top-k) mode
  double l0 = 0;          // active latents per token
  double dead_share = 0;  // off for dead_after_tokens
  double lr = 0;
};

// Everything that a later step depends on; saved and restored bit for bit.
struct TrainState {
  struct Moments {
    at::Tensor value, m, v;
  };
  Moments W_enc;           // [d_sae, d_in]: transposed
  Moments W_dec;           // [d_sae, d_in]
  Moments b_enc;           // [d_sae]
  Moments b_dec;           // [d_in]
  at::Tensor tokens_off;   // [d_sae] int64: tokens since the latent was last on
  double input_scale = 1;  // s
  int64_t step = 0;        // steps done
  float floor = 0;         // guess of select_*

  // `sample` [tokens, d_in] raw activations: sets b_dec and the scale.
  static TrainState start(const TrainOptions& options, const at::Tensor& sample);
  void save(const std::filesystem::path& path) const;
  // Throws DataError unless the file fits.
  static TrainState load(const std::filesystem::path& path, int64_t d_sae);
};

class SaeTrainer {
 public:
  // `total_steps` shapes the learning rate.
  SaeTrainer(TrainOptions options, TrainState state, int64_t total_steps);

  StepStats step(const at::Tensor& x);  // [batch_tokens, d_in] raw activations, any float dtype

  const TrainState& state() const { return state_; }
  const TrainOptions& options() const { return options_; }
  double learning_rate(int64_t step) const;

  // The SAE in the space of raw activations, decoder rows of norm 1 (codes are in units of the
  // residual stream): a TopK SAE, or, for a threshold found by calibrate_threshold, a pointwise
  // JumpReLU SAE.
  Sae top_k_sae() const;

 private:
  std::vector<int32_t> dead_latents() const;
  SparseCode select(const at::Tensor& pre);
  void count_firing(const LatentIndex& index, int64_t tokens);
  // AuxK on the first tokens of the batch.
  SparseTerm aux_term(const at::Tensor& pre,
                      const SparseTerm& main,
                      const std::vector<int32_t>& dead) const;
  void update(const std::vector<SparseTerm>& terms);

  TrainOptions options_;
  TrainState state_;
  int64_t total_steps_;
  at::Tensor W_enc_bf16_;  // [d_sae, d_in]
};

// The same SAE with the one threshold at which it is on for `target_l0` latents per token of
// `sample` [tokens, d_in] on average.
Sae with_calibrated_threshold(const Sae& sae, const at::Tensor& sample, double target_l0);

}  // namespace rebound
