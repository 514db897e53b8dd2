#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "rebound/model/block_hooks.h"
#include "rebound/model/linear.h"
#include "rebound/model/transformer.h"

namespace rebound {
namespace {

at::Tensor as_mask(const at::Tensor& visible, const at::Tensor& key_is_real) {
  const at::Tensor seen = visible & key_is_real.unsqueeze(1);  // [batch, rows, keys]
  // A padding row sees its first key, so that its (unused) softmax is finite.
  const at::Tensor hidden = ~seen & seen.any(-1, /*keepdim=*/true);
  return at::zeros(seen.sizes(), seen.options().dtype(at::kFloat))
      .masked_fill(hidden, -std::numeric_limits<float>::infinity())
      .unsqueeze(1)
      .unsqueeze(1);  // [batch, 1, 1, rows, keys]
}

// heads [batch, rows, heads, d_head]; `gain` [d_head], or [heads * d_head] over the whole width.
at::Tensor head_norm(const at::Tensor& heads, const at::Tensor& gain, double eps) {
  const bool is_over_width = gain.size(0) != heads.size(-1);
  const at::Tensor x = is_over_width ? heads.flatten(2) : heads;
  return (rms_normalized(x, eps) * gain).view(heads.sizes());
}

// Of the heads' values z [batch, rows, n_heads, d_head] what each writes by itself.
at::Tensor head_results(const at::Tensor& z, const Matrix& o) {
  const at::Tensor by_head = o.to(at::kFloat).dense().view({o.size(0), z.size(2), z.size(3)});
  return at::einsum("bqhe,dhe->bqhd", {z, by_head});
}

}  // namespace

AttentionMasks AttentionMasks::select(const at::Tensor& index) const {
  return {all.index_select(0, index), window.defined() ? window.index_select(0, index) : window};
}

AttentionMasks Transformer::causal_masks(const Rows& rows,
                                         const at::Tensor& key_position,
                                         const at::Tensor& key_is_real) const {
  const at::Tensor key = key_position.unsqueeze(1), row = rows.position.unsqueeze(2);
  AttentionMasks masks;
  masks.all = as_mask(key <= row, key_is_real);
  if (config_.has_sliding_layers()) {
    masks.window = as_mask((key <= row) & (key > row - config_.sliding_window), key_is_real);
  }
  return masks;
}

at::Tensor Transformer::rotated(int64_t layer,
                                const at::Tensor& qk,
                                const at::Tensor& position) const {
  if (!config_.has_rope(layer)) return qk;
  const bool is_local = config_.kind_of(layer).is_sliding && local_rope_.cos.defined();
  return (is_local ? local_rope_ : rope_).rotate(qk, position);
}

at::Tensor Transformer::scores(const at::Tensor& queries, const at::Tensor& keys) const {
  const double width = config_.query_pre_attn_scalar > 0 ? config_.query_pre_attn_scalar
                                                         : static_cast<double>(config_.head_dim);
  return soft_capped(at::bmm(queries, keys.transpose(1, 2)) * (1.0 / std::sqrt(width)),
                     config_.attn_logit_softcapping);
}

at::Tensor Transformer::attention(int64_t layer,
                                  const at::Tensor& normed,
                                  const AttentionView& view,
                                  const BlockHooks& hooks) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const int64_t n_heads = config_.num_attention_heads, n_kv = config_.num_key_value_heads;
  const int64_t d_head = config_.head_dim, batch = normed.size(0), rows = normed.size(1);
  const at::Tensor qkv =
      linear(normed, w.qkv, w.qkv_bias).view({batch, rows, n_heads + 2 * n_kv, d_head});
  const auto parts = qkv.split_with_sizes({n_heads, n_kv, n_kv}, 2);
  capture(hooks, {layer, SiteKind::kQ}, parts[0]);
  capture(hooks, {layer, SiteKind::kK}, parts[1]);
  capture(hooks, {layer, SiteKind::kV}, parts[2]);
  const at::Tensor qk = w.q_norm.defined()
                            ? at::cat({head_norm(parts[0], w.q_norm, config_.rms_norm_eps),
                                       head_norm(parts[1], w.k_norm, config_.rms_norm_eps)},
                                      2)
                            : qkv.narrow(2, 0, n_heads + n_kv);
  const auto turned = rotated(layer, qk, view.rows.position).split_with_sizes({n_heads, n_kv}, 2);
  at::Tensor q = turned[0];
  capture(hooks, {layer, SiteKind::kRotQ}, q);
  capture(hooks, {layer, SiteKind::kRotK}, turned[1]);

  at::Tensor k = turned[1].transpose(1, 2);  // [batch, n_kv_heads, rows, d_head]
  at::Tensor v = parts[2].transpose(1, 2);
  if (view.prefix) {
    k = at::cat({view.prefix->keys[static_cast<size_t>(layer)], k}, 2);
    v = at::cat({view.prefix->values[static_cast<size_t>(layer)], v}, 2);
  }
  if (view.buffer) std::tie(k, v) = view.buffer->append(layer, k, v);
  if (hooks.cache) {
    hooks.cache->keys[static_cast<size_t>(layer)] = k = k.contiguous();
    hooks.cache->values[static_cast<size_t>(layer)] = v = v.contiguous();
  }
  at::Tensor mask = config_.kind_of(layer).is_sliding ? view.masks.window : view.masks.all;
  if (view.keep) {
    q = gather_rows(q.flatten(2), *view.keep).view({batch, -1, n_heads, d_head});
    const at::Tensor index = view.keep->view({batch, 1, 1, -1, 1});
    mask = mask.gather(3, index.expand({-1, 1, 1, -1, mask.size(4)}));
  }
  const int64_t n_query = q.size(1), n_keys = k.size(2), group = n_heads / n_kv;
  const at::Tensor grouped = q.transpose(1, 2).reshape({batch * n_kv, group * n_query, d_head});
  const at::Tensor masked = scores(grouped, k.reshape({batch * n_kv, n_keys, d_head}))
                                .view({batch, n_kv, group, n_query, n_keys}) +
                            mask;
  const at::Tensor pattern = at::softmax(masked, -1);
  capture(hooks, {layer, SiteKind::kPattern}, pattern.flatten(1, 2));
  const at::Tensor values = v.reshape({batch * n_kv, n_keys, d_head});
  const at::Tensor z = at::bmm(pattern.view({batch * n_kv, group * n_query, n_keys}), values)
                           .view({batch, n_heads, n_query, d_head})
                           .transpose(1, 2);
  FlopCount::add(4 * batch * n_heads * n_query * n_keys * d_head);
  capture(hooks, {layer, SiteKind::kZ}, z);
  if (is_captured(hooks, {layer, SiteKind::kResult})) {
    capture(hooks, {layer, SiteKind::kResult}, head_results(z, w.o));
  }
  return linear(z.flatten(2), w.o, w.o_bias);
}

}  // namespace rebound
