// A small llama whose weights are trained: the arithmetic of model/transformer.h, differentiable in
// the weights, on full contexts without padding. What it saves is a Hugging Face folder that
// load_model reads: everything is measured on the engine's own model.
//
// Start: embeddings N(0, 0.5^2), matrices N(0, 1 / fan_in), those that write into the residual
// stream 1 / sqrt(2 n_layers) of that, the head a tenth (a flat first prediction), gains 1.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/model/transformer.h"

namespace rebound {

struct TinyShape {
  int64_t d_model = 64;
  int64_t n_layers = 2;
  int64_t n_heads = 2;
  int64_t vocabulary = 256;
  int64_t context_length = 128;

  // d_mlp 8/3 d_model rounded up to 4, d_head = d_model / n_heads, head and embedding apart.
  // ConfigError unless positive and d_head is an even whole number.
  ModelConfig config() const;
  int64_t parameters() const;
  // Matrix products of a forward pass (2 m n k) on full contexts, the head and the whole square of
  // attention included; what FlopCount counts.
  double forward_flops_per_token() const;
  // Forward and twice that backward.
  double training_flops_per_token() const { return 3 * forward_flops_per_token(); }
};

class TinyLlama {
 public:
  TinyLlama(const TinyShape& shape, uint64_t seed);

  const ModelConfig& config() const { return config_; }
  // Mean next-token cross-entropy in nats; ids [batch, pos] int64, pos >= 2.
  at::Tensor loss(const at::Tensor& ids) const;

  // The leaves, by how they decay.
  std::vector<at::Tensor> matrices() const;
  std::vector<at::Tensor> gains() const;
  ModelWeights weights() const;  // detached copies, as Transformer takes them

  // config.json, model.safetensors (float16, or float32), tokenizer.json and tokenizer_config.json
  // of `tokenizer_json`. Throws IoError; DataError where a weight does not fit.
  void save(const std::filesystem::path& folder,
            const std::string& tokenizer_json,
            at::ScalarType dtype = at::kHalf) const;

 private:
  at::Tensor attention(const LayerWeights& layer, const at::Tensor& normed) const;

  ModelConfig config_;
  ModelWeights weights_;            // leaves
  at::Tensor rope_cos_, rope_sin_;  // [pos, d_head]
  at::Tensor mask_;                 // [1, pos, pos] 0 or -inf
};

}  // namespace rebound
