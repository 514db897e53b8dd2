// Small random models for tests, made in memory.
#pragma once

#include <torch/torch.h>

#include "rebound/base/rng.h"
#include "rebound/model/transformer.h"

namespace rebound {

inline at::Tensor random_tensor(Rng& rng, const std::vector<int64_t>& sizes, double scale = 1.0) {
  at::Tensor tensor = at::empty(sizes, at::kFloat);
  float* data = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(rng.normal() * scale);
  return tensor;
}

inline ModelConfig tiny_config() {
  ModelConfig config;
  config.name = "tiny";
  config.vocab_size = 61;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 4;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.max_position_embeddings = 160;
  config.tie_word_embeddings = false;
  return config;
}

inline Transformer tiny_transformer(uint64_t seed = 1, const ModelConfig& config = tiny_config()) {
  Rng rng({seed, 77});
  const int64_t d = config.hidden_size, m = config.intermediate_size;
  const int64_t q = config.num_attention_heads * config.head_dim;
  const int64_t kv = config.num_key_value_heads * config.head_dim;
  ModelWeights weights;
  weights.embed = random_tensor(rng, {config.vocab_size, d});
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    weights.layers.push_back({1 + random_tensor(rng, {d}, 0.1),
                              random_tensor(rng, {q + 2 * kv, d}, 0.3),
                              random_tensor(rng, {d, q}, 0.3),
                              1 + random_tensor(rng, {d}, 0.1),
                              random_tensor(rng, {2 * m, d}, 0.3),
                              random_tensor(rng, {d, m}, 0.3)});
  }
  weights.final_norm = 1 + random_tensor(rng, {d}, 0.1);
  weights.head =
      config.tie_word_embeddings ? weights.embed : Matrix(random_tensor(rng, {config.vocab_size, d}));
  return Transformer(config, std::move(weights));
}

inline std::vector<int64_t> random_ids(Rng& rng, int64_t count, int64_t vocab = 61) {
  std::vector<int64_t> ids(static_cast<size_t>(count));
  for (int64_t& id : ids) id = rng.below(vocab);
  return ids;
}

// max |a - b| / max(1, max |b|)
inline double relative_gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1.0, b.abs().max().item<double>());
}

}  // namespace rebound
