#include "rebound/model/transformer_lens.h"

#include <torch/torch.h>

namespace rebound {
namespace {

at::Tensor sum_or_either(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && b.defined() ? a + b : a.defined() ? a : b;
}

// W (gain * x + b) = (W gain) x + W b; of an x that sums to 0 over its width, W's row means do
// nothing.
void fold_norm(const at::Tensor& gain,
               const at::Tensor& norm_bias,
               bool is_centred,
               Matrix& folded,
               at::Tensor& bias) {
  at::Tensor& matrix = folded.dense();
  if (norm_bias.defined()) bias = sum_or_either(bias, at::mv(matrix, norm_bias));
  matrix = matrix * gain;
  if (is_centred) matrix = matrix - matrix.mean(1, /*keepdim=*/true);
}

void fold_norms(const ModelConfig& config, ModelWeights& weights) {
  const bool is_centred = config.norm == NormKind::kLayer;
  const at::Tensor ones = at::ones({config.hidden_size});
  for (LayerWeights& w : weights.layers) {
    const at::Tensor& gain = config.shares_norm ? w.attn_norm : w.mlp_norm;
    const at::Tensor& bias = config.shares_norm ? w.attn_norm_bias : w.mlp_norm_bias;
    fold_norm(gain, bias, is_centred, w.gate_up, w.gate_up_bias);
    fold_norm(w.attn_norm, w.attn_norm_bias, is_centred, w.qkv, w.qkv_bias);
    w.attn_norm = ones;
    if (!config.shares_norm) w.mlp_norm = ones;
    w.attn_norm_bias = w.mlp_norm_bias = at::Tensor();
  }
  fold_norm(
      weights.final_norm, weights.final_norm_bias, is_centred, weights.head, weights.head_bias);
  weights.final_norm = ones;
  weights.final_norm_bias = at::Tensor();
}

// Attention weights sum to 1, so a value's bias adds the same whatever they are.
void fold_value_biases(const ModelConfig& config, ModelWeights& weights) {
  const int64_t n_heads = config.num_attention_heads, n_kv = config.num_key_value_heads;
  for (LayerWeights& w : weights.layers) {
    if (!w.qkv_bias.defined()) continue;
    const int64_t first = (n_heads + n_kv) * config.head_dim;
    const at::Tensor by_head = w.qkv_bias.slice(0, first).view({n_kv, 1, config.head_dim});
    const at::Tensor repeated =
        by_head.expand({n_kv, n_heads / n_kv, config.head_dim}).reshape({-1});
    w.o_bias = sum_or_either(w.o_bias, at::mv(w.o.dense(), repeated));
    w.qkv_bias =
        at::cat({w.qkv_bias.slice(0, 0, first), at::zeros_like(w.qkv_bias.slice(0, first))});
  }
}

void centre_writing(ModelWeights& weights) {
  const auto centre = [](at::Tensor& x, int64_t axis) {
    if (x.defined()) x = x - x.mean(axis, /*keepdim=*/true);
  };
  centre(weights.embed.dense(), 1);
  centre(weights.position_embed.dense(), 1);
  for (LayerWeights& w : weights.layers) {
    for (at::Tensor* written : {&w.o.dense(), &w.o_bias, &w.down.dense(), &w.down_bias}) {
      centre(*written, 0);
    }
  }
}

void centre_head(ModelWeights& weights) {
  at::Tensor& head = weights.head.dense();
  head = head - head.mean(0, /*keepdim=*/true);
  if (weights.head_bias.defined()) weights.head_bias = weights.head_bias - weights.head_bias.mean();
}

}  // namespace

Transformer process_as_transformer_lens(ModelConfig config, ModelWeights weights) {
  const at::NoGradGuard no_grad;
  config.tie_word_embeddings = false;
  if (config.has_pre_norms) fold_norms(config, weights);
  fold_value_biases(config, weights);
  if (config.norm == NormKind::kLayer) centre_writing(weights);
  if (config.final_logit_softcapping == 0) centre_head(weights);
  return Transformer(std::move(config), std::move(weights));
}

}  // namespace rebound
