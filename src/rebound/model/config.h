// What a model is, under Hugging Face names. Every family is data: the block that reads it
// (transformer.h) is shared. families.h has the table, docs/model.md what each family uses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

enum class NormKind {
  kRms,    // x / sqrt(mean(x^2) + eps) * gain
  kLayer,  // (x - mean(x)) / sqrt(var(x) + eps) * gain + bias
};

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

// RMS norm of queries and keys before they are rotated.
enum class QkNorm {
  kNone,
  kHead,   // each head by itself, one gain for all
  kWidth,  // all heads together
};

// Divides the frequencies of rotary positions (rope.h); `rope_scaling` in config.json.
struct RopeScaling {
  enum class Kind {
    kNone,
    kLinear,   // by factor
    kLlama3,   // long wavelengths by factor, short ones not, smooth between (Llama 3.1)
    kYarn,     // long wavelengths by factor, short ones not, a ramp over the pairs between
    kDivisors  // by `divisors`: rope_freqs.weight of a GGUF file, or longrope's short factors
  };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_max_position_embeddings = 8192;
  std::vector<double> divisors;  // [rotary_dim / 2]
  // Of yarn: the ramp lies between the pairs that turn this often over the original length.
  double beta_fast = 32;
  double beta_slow = 1;
  bool is_ramp_whole = true;    // its ends are pairs, not points between two
  double attention_factor = 1;  // of cosines and sines: scores get its square
  // Of longrope: the length up to which the long factors, which are not used, would hold.
  int64_t long_positions = 0;
};

// How one layer attends.
struct LayerKind {
  bool is_sliding = false;  // to the last `sliding_window` keys only
  bool has_rope = true;
};

struct ModelConfig {
  std::string model_type = "llama";
  std::string name;  // for people: general.name or the folder's name
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;          // d_model
  int64_t intermediate_size = 0;    // d_mlp
  int64_t num_hidden_layers = 0;    // n_layers
  int64_t num_attention_heads = 0;  // n_heads
  int64_t num_key_value_heads = 0;  // n_kv_heads
  int64_t head_dim = 0;             // d_head
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-5;  // of layer norms too
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;

  // What families differ in; the defaults are Llama's.
  NormKind norm = NormKind::kRms;
  QkNorm qk_norm = QkNorm::kNone;
  Activation activation = Activation::kSilu;
  bool has_gate = true;         // mlp: act(gate x) * up x, else act(up x)
  bool has_pre_norms = true;    // of what attention and MLP read
  bool has_post_norms = false;  // of what they write, before it is added
  bool is_parallel = false;     // both read the residual before attention
  bool shares_norm = false;     // a parallel MLP reads what attention reads
  bool has_qkv_bias = false;
  bool has_o_bias = false;
  bool has_mlp_bias = false;
  bool has_position_embeddings = false;  // learned ones, added to the embedding; no rope then
  int64_t rotary_dim = 0;                // first dimensions of a head that rotate; 0: all
  double embed_scale = 1;
  double query_pre_attn_scalar = 0;    // scores are q.k / sqrt of it; 0: head_dim
  double attn_logit_softcapping = 0;   // c tanh(score / c); 0: none
  double final_logit_softcapping = 0;  // c tanh(logit / c); 0: none
  RopeScaling rope_scaling;            // not of sliding layers with a base of their own
  double rope_local_base_freq = 0;     // of sliding layers; 0: rope_theta
  int64_t sliding_window = 0;          // keys at distance 0 .. sliding_window - 1
  std::vector<LayerKind> layer_kinds;  // [n_layers]; empty: every layer as LayerKind{}

  LayerKind kind_of(int64_t layer) const {
    return layer_kinds.empty() ? LayerKind{} : layer_kinds[static_cast<size_t>(layer)];
  }
  bool has_rope(int64_t layer) const { return !has_position_embeddings && kind_of(layer).has_rope; }
  bool has_sliding_layers() const;
  int64_t rotary_size() const { return rotary_dim ? rotary_dim : head_dim; }
  // max_position_embeddings for messages, and what the file promises beyond it.
  std::string position_limit() const;

  // Throws DataError naming the field: sizes positive, heads divisible, rotary size even, and no
  // size so large that its weights could not exist.
  void validate() const;
};

// Reads a config.json. A key that changes the arithmetic and is not implemented is a DataError;
// keys that do not stand in one list. An unknown model_type is a DataError that names the nearest
// family and the keys that differ.
ModelConfig read_hugging_face_config(const Json& config);

}  // namespace rebound
