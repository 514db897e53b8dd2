// A decoder-only transformer: embed -> n_layers blocks -> final norm -> head. Weights never carry
// gradients; the residual stream, norms, softmax and attention scores are float32 whatever the
// weight dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rebound/model/config.h"
#include "rebound/model/hooks.h"
#include "rebound/model/matrix.h"
#include "rebound/model/rope.h"

namespace rebound {

// Prompts of different lengths, padded on the right (a causal model never looks there).
struct TokenBatch {
  at::Tensor ids;                // [batch, pos] int64
  std::vector<int64_t> lengths;  // [batch]

  static TokenBatch from(const std::vector<std::vector<int64_t>>& prompts);
  int64_t size() const { return static_cast<int64_t>(lengths.size()); }
  Rows rows() const;                                   // all positions
  TokenBatch slice(int64_t first, int64_t end) const;  // of prompts, as wide as before
};

// Rotated keys and values of every layer run, [batch, n_kv_heads, pos, d_head] each.
struct KvCache {
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
};

// Keys and values that grow column by column, in place: room ahead keeps the copying linear in the
// columns. Move-only, as copies would write into the same room.
class KvBuffer {
 public:
  KvBuffer() = default;
  KvBuffer(KvBuffer&&) = default;
  KvBuffer& operator=(KvBuffer&&) = default;
  explicit KvBuffer(KvCache cache);  // of a whole run

  // Appends [batch, n_kv_heads, rows, d_head] to `layer`; returns all of its keys and values.
  std::pair<at::Tensor, at::Tensor> append(int64_t layer,
                                           const at::Tensor& keys,
                                           const at::Tensor& values);
  void select(const at::Tensor& index);  // keeps the examples `index` [n] int64 alone

 private:
  KvCache cache_;              // columns past used_ are room
  std::vector<int64_t> used_;  // [n_layers]
};

// Gains, biases and all of the arithmetic outside the matrices are float32. What a family does not
// have (config.h) is undefined.
struct LayerWeights {
  at::Tensor attn_norm;                      // [d_model]
  Matrix qkv;                                // [(n_heads + 2 n_kv_heads) * d_head, d_model]
  Matrix o;                                  // [d_model, n_heads * d_head]
  at::Tensor mlp_norm;                       // [d_model]
  Matrix gate_up;                            // [2 * d_mlp, d_model], or up alone [d_mlp, d_model]
  Matrix down;                               // [d_model, d_mlp]
  at::Tensor attn_norm_bias, mlp_norm_bias;  // [d_model]
  at::Tensor qkv_bias, o_bias, gate_up_bias, down_bias;  // [rows of the matrix]
  at::Tensor q_norm, k_norm;  // [d_head], or [n_heads * d_head] and [n_kv_heads * d_head]
  at::Tensor attn_out_norm, mlp_out_norm;  // [d_model], of what is written to the residual
};

struct ModelWeights {
  Matrix embed;  // [d_vocab, d_model]
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;       // [d_model] float32
  Matrix head;                 // [d_vocab, d_model]; the same storage as embed when tied
  at::Tensor final_norm_bias;  // [d_model] float32
  at::Tensor head_bias;        // [d_vocab] float32
  Matrix position_embed;       // [max positions, d_model]
};

struct RunOptions {
  Hooks hooks;
  int64_t stop_before_layer = -1;  // -1: run every layer
  KvCache* cache = nullptr;        // filled when given
};

struct RunOutput {
  at::Tensor resid;  // [batch, pos, d_model] after the last layer run, before the final norm
  Activations activations;
};

// Added to scores: [batch, 1, 1, rows, keys] float32, 0 or -inf.
struct AttentionMasks {
  at::Tensor all;     // every earlier key
  at::Tensor window;  // those in reach of a sliding layer; undefined if the model has none

  AttentionMasks select(const at::Tensor& index) const;  // of examples
};

// What the rows of a block may attend to.
struct AttentionView {
  Rows rows;
  AttentionMasks masks;
  const KvCache* prefix = nullptr;   // keys before the rows
  const at::Tensor* keep = nullptr;  // [batch, kept] int64: rows whose output is wanted, else all
  KvBuffer* buffer = nullptr;        // keys before the rows; those of the rows are appended
};

class Transformer {
 public:
  Transformer(ModelConfig config, ModelWeights weights);

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  int64_t d_model() const { return config_.hidden_size; }
  int64_t n_layers() const { return config_.num_hidden_layers; }
  // A copy whose matrices have another dtype (norm gains and arithmetic outside them stay float32),
  // or one on another device, which takes token ids of any.
  Transformer to(at::ScalarType dtype) const;
  Transformer to(at::Device device) const;
  at::Device device() const { return weights_.final_norm.device(); }
  // Of the matrices: "float32", "bfloat16", "float16", or the types of stored ones ("Q4_1, Q6_K").
  std::string precision() const;

  // No gradient unless an edit introduces one. Throws ConfigError when a hook is at a site that
  // this family does not have (family_sites.h).
  RunOutput run(const TokenBatch& batch, const RunOptions& options = {}) const;

  // hook_embed: [...] int64 -> [..., d_model], with Gemma's scale.
  at::Tensor embed(const at::Tensor& ids) const;
  // What enters the first block: adds the learned positions of families that have them.
  // [batch, rows, d_model], position [batch, rows] int64.
  at::Tensor with_positions(const at::Tensor& embedded, const at::Tensor& position) const;
  // Final norm, head and soft cap. [..., d_model] -> [..., d_vocab] float32.
  at::Tensor logits(const at::Tensor& resid) const;
  // Only some tokens: resid [n, d_model], tokens [n, k] int64 -> [n, k].
  at::Tensor logits_of(const at::Tensor& resid, const at::Tensor& tokens) const;

  // One block; `edits` and `captured` may be null. Fills `cache` (layer's keys and values) if
  // given.
  struct BlockHooks {
    const Hooks* hooks = nullptr;
    Activations* captured = nullptr;
    KvCache* cache = nullptr;
  };
  at::Tensor block(int64_t layer,
                   at::Tensor resid,
                   const AttentionView& view,
                   const BlockHooks& hooks) const;

  // Of rows against keys at `key_position` [batch, keys]; padding keys are masked.
  AttentionMasks causal_masks(const Rows& rows,
                              const at::Tensor& key_position,
                              const at::Tensor& key_is_real) const;

 private:
  at::Tensor attention(int64_t layer,
                       const at::Tensor& normed,
                       const AttentionView& view,
                       const BlockHooks& hooks) const;
  at::Tensor rotated(int64_t layer, const at::Tensor& qk, const at::Tensor& position) const;
  at::Tensor scores(const at::Tensor& queries, const at::Tensor& keys) const;
  at::Tensor mlp(int64_t layer, const at::Tensor& normed, const BlockHooks& hooks) const;
  at::Tensor final_normed(const at::Tensor& resid) const;
  void check_ids(const at::Tensor& ids) const;

  ModelConfig config_;
  ModelWeights weights_;
  RopeTable rope_,
      local_rope_;  // the second one of sliding layers, if they have a base of their own
};

struct ModelLoadOptions {
  at::ScalarType dtype = at::kFloat;  // of the matrices: kFloat, kBFloat16, kHalf (matrix.h)
  // Matrices stay as the file has them (matrix.h); products with them are float32.
  bool keeps_stored = false;
  // Weights as TransformerLens's from_pretrained leaves them (transformer_lens.h).
  bool has_transformer_lens_processing = false;
};

// "float32", "bfloat16", "float16" or "stored". Throws ConfigError.
ModelLoadOptions dtype_named(const std::string& name);

// A model from a .gguf file or a Hugging Face folder. Throws IoError or DataError; NaN or infinite
// weights are a DataError naming the tensor, as is a tensor that the family does not use.
Transformer load_model(const std::string& path, const ModelLoadOptions& options);
Transformer load_model(const std::string& path, at::ScalarType dtype = at::kFloat);
// What its file says of a model, weights left unread. Throws as load_model.
ModelConfig read_config(const std::string& path);

// The default model's file: models/ under the project, then ~/.cache/rebound. Throws IoError
// naming scripts/fetch_default_model.sh.
std::string find_default_model();
// What a --model means: nothing is the default model, the name of a .gguf file alone
// ("gemma-3-270m-q4_k_m.gguf") one of the same folders, ORG/NAME[@REV][:PATH] one of the hub's
// cache (io/hub_cache.h), all else is a path as it stands.
std::string find_model(const std::string& path);

}  // namespace rebound
