#include "rebound/model/read_weights.h"

#include <torch/torch.h>

namespace rebound {
namespace {

struct Reader {
  const ModelConfig& config;
  const Architecture& row;
  const WeightFile& file;

  int64_t d_model() const { return config.hidden_size; }
  int64_t d_q() const { return config.num_attention_heads * config.head_dim; }
  int64_t d_kv() const { return config.num_key_value_heads * config.head_dim; }

  bool is_by_head() const { return row.fused_qkv == FusedQkv::kByHead && !file.is_gguf(); }

  // Of a fused matrix whose rows are q, k, v of each head in turn: all of q, all of k, all of v.
  at::Tensor row_order() const {
    const int64_t n_heads = config.num_attention_heads;
    return at::arange(d_q() + 2 * d_kv())
        .view({n_heads, 3, config.head_dim})
        .transpose(0, 1)
        .reshape({-1});
  }

  Matrix qkv(int64_t i) const {
    const int64_t n_heads = config.num_attention_heads, n_kv = config.num_key_value_heads;
    if (row.fused_qkv != FusedQkv::kNone) {
      const Matrix fused = file.matrix(row.qkv, i, d_q() + 2 * d_kv(), d_model());
      return is_by_head() ? fused.select_rows(row_order()) : fused;
    }
    return Matrix::stacked({file.rotary_matrix(row.q, i, n_heads, config.head_dim, d_model()),
                            file.rotary_matrix(row.k, i, n_kv, config.head_dim, d_model()),
                            file.matrix(row.v, i, d_kv(), d_model())});
  }

  at::Tensor rotary_bias(const WeightName& weight, int64_t i, int64_t size) const {
    const at::Tensor bias = file.bias(weight, i, size);
    if (!file.is_gguf() || !row.gguf_interleaves_qk) return bias;
    return bias.view({-1, config.head_dim / 2, 2}).transpose(1, 2).reshape_as(bias);
  }

  at::Tensor qkv_bias(int64_t i) const {
    if (!config.has_qkv_bias) return {};
    if (row.fused_qkv != FusedQkv::kNone) {
      const at::Tensor fused = file.bias(row.qkv, i, d_q() + 2 * d_kv());
      return is_by_head() ? fused.index_select(0, row_order()) : fused;
    }
    return at::cat(
        {rotary_bias(row.q, i, d_q()), rotary_bias(row.k, i, d_kv()), file.bias(row.v, i, d_kv())});
  }

  Matrix gate_up(int64_t i) const {
    const int64_t d_mlp = config.intermediate_size;
    if (*row.gate_up.hugging_face) return file.matrix(row.gate_up, i, 2 * d_mlp, d_model());
    if (!config.has_gate) return file.matrix(row.up, i, d_mlp, d_model());
    const Matrix gate = file.matrix(row.gate, i, d_mlp, d_model());
    return Matrix::stacked({gate, file.matrix(row.up, i, d_mlp, d_model())});
  }

  at::Tensor gate_up_bias(int64_t i) const {
    const int64_t d_mlp = config.intermediate_size;
    if (!config.has_mlp_bias) return {};
    const at::Tensor up = file.bias(row.up, i, d_mlp);
    return config.has_gate ? at::cat({file.bias(row.gate, i, d_mlp), up}) : up;
  }

  at::Tensor norm_bias(const WeightName& weight, int64_t i) const {
    return config.norm == NormKind::kLayer ? file.bias(weight, i, d_model()) : at::Tensor();
  }

  void read_norms(int64_t i, LayerWeights& layer) const {
    if (config.has_pre_norms) {
      layer.attn_norm = file.gain(row.attn_norm, i, d_model());
      layer.attn_norm_bias = norm_bias(row.attn_norm, i);
    }
    if (config.has_pre_norms && !config.shares_norm) {
      layer.mlp_norm = file.gain(row.mlp_norm, i, d_model());
      layer.mlp_norm_bias = norm_bias(row.mlp_norm, i);
    }
    if (config.has_post_norms) {
      layer.attn_out_norm = file.gain(row.attn_out_norm, i, d_model());
      layer.mlp_out_norm = file.gain(row.mlp_out_norm, i, d_model());
    }
    if (config.qk_norm != QkNorm::kNone) {
      const bool is_by_head = config.qk_norm == QkNorm::kHead;
      layer.q_norm = file.gain(row.q_norm, i, is_by_head ? config.head_dim : d_q());
      layer.k_norm = file.gain(row.k_norm, i, is_by_head ? config.head_dim : d_kv());
    }
  }

  LayerWeights layer(int64_t i) const {
    LayerWeights layer;
    read_norms(i, layer);
    layer.qkv = qkv(i);
    layer.qkv_bias = qkv_bias(i);
    layer.o = file.matrix(row.o, i, d_model(), d_q());
    if (config.has_o_bias) layer.o_bias = file.bias(row.o, i, d_model());
    layer.gate_up = gate_up(i);
    layer.gate_up_bias = gate_up_bias(i);
    layer.down = file.matrix(row.down, i, d_model(), config.intermediate_size);
    if (config.has_mlp_bias) layer.down_bias = file.bias(row.down, i, d_model());
    return layer;
  }
};

}  // namespace

ModelWeights read_weights(const ModelConfig& config,
                          const Architecture& row,
                          const WeightFile& file) {
  config.validate();
  const Reader reader{config, row, file};
  ModelWeights weights;
  weights.embed = file.table(row.embed, config.vocab_size, config.hidden_size);
  if (config.has_position_embeddings) {
    weights.position_embed =
        file.table(row.position_embed, config.max_position_embeddings, config.hidden_size);
  }
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) weights.layers.push_back(reader.layer(i));
  weights.final_norm = file.gain(row.final_norm, 0, config.hidden_size);
  weights.final_norm_bias = reader.norm_bias(row.final_norm, 0);
  weights.head = config.tie_word_embeddings
                     ? weights.embed
                     : file.table(row.head, config.vocab_size, config.hidden_size);
  file.require_all_read(config.tie_word_embeddings);
  return weights;
}

}  // namespace rebound
