#include "rebound/model/transformer.h"

#include <torch/torch.h>

#include <algorithm>
#include <tuple>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/model/flops.h"
#include "rebound/model/weight_product.h"

namespace rebound {
namespace {

// y = x W^T in the weight's dtype, back in float32.
at::Tensor matmul_weight(const at::Tensor& x, const at::Tensor& weight) {
  FlopCount::add(2 * x.numel() * weight.size(0));
  const auto sizes = x.sizes();
  std::vector<int64_t> out_sizes(sizes.begin(), sizes.end() - 1);
  out_sizes.push_back(weight.size(0));
  return weight_product(x.reshape({-1, weight.size(1)}), weight).view(out_sizes);
}

at::Tensor rms_normalized(const at::Tensor& x, double eps) {
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + eps);
}

at::Tensor rotate_half(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::cat({-halves[1], halves[0]}, -1);
}

void capture(const Transformer::BlockHooks& hooks, const Site& site, const at::Tensor& value) {
  if (hooks.hooks && hooks.captured && hooks.hooks->capture.count(site)) {
    (*hooks.captured)[site] = value;
  }
}

at::Tensor edit_and_capture(const Transformer::BlockHooks& hooks,
                            const Site& site,
                            const at::Tensor& value,
                            const Rows& rows) {
  if (!hooks.hooks) return value;
  const auto edit = hooks.hooks->edits.find(site);
  const at::Tensor edited = edit == hooks.hooks->edits.end() ? value : edit->second(value, rows);
  capture(hooks, site, edited);
  return edited;
}

at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& keep) {
  return x.gather(1, keep.unsqueeze(-1).expand({-1, -1, x.size(-1)}));
}

// `columns` appended to `all` [batch, n_kv_heads, room, d_head] behind the `used` ones.
void append_columns(at::Tensor& all, int64_t used, const at::Tensor& columns) {
  const int64_t needed = used + columns.size(2);
  if (needed > all.size(2)) {
    constexpr int64_t kLeastRoom = 32;
    const int64_t room = std::max(needed, used + used / 2 + kLeastRoom) - used;
    at::Tensor spare = all.new_empty({all.size(0), all.size(1), room, all.size(3)});
    all = at::cat({all.narrow(2, 0, used), spare}, 2);
  }
  all.narrow(2, used, columns.size(2)).copy_(columns);
}

}  // namespace

KvBuffer::KvBuffer(KvCache cache) : cache_(std::move(cache)) {
  for (const at::Tensor& keys : cache_.keys) used_.push_back(keys.size(2));
}

std::pair<at::Tensor, at::Tensor> KvBuffer::append(int64_t layer,
                                                   const at::Tensor& keys,
                                                   const at::Tensor& values) {
  const auto i = static_cast<size_t>(layer);
  append_columns(cache_.keys[i], used_[i], keys);
  append_columns(cache_.values[i], used_[i], values);
  used_[i] += keys.size(2);
  return {cache_.keys[i].narrow(2, 0, used_[i]), cache_.values[i].narrow(2, 0, used_[i])};
}

void KvBuffer::select(const at::Tensor& index) {
  for (at::Tensor& keys : cache_.keys) keys = keys.index_select(0, index);
  for (at::Tensor& values : cache_.values) values = values.index_select(0, index);
}

TokenBatch TokenBatch::from(const std::vector<std::vector<int64_t>>& prompts) {
  require<DataError>(!prompts.empty(), "TokenBatch: got no prompts, expected at least one");
  TokenBatch batch;
  size_t longest = 0;
  for (const auto& prompt : prompts) {
    require<DataError>(!prompt.empty(),
                       "TokenBatch: got an empty prompt, expected at least one token");
    batch.lengths.push_back(static_cast<int64_t>(prompt.size()));
    longest = std::max(longest, prompt.size());
  }
  batch.ids = at::zeros({batch.size(), static_cast<int64_t>(longest)}, at::kLong);
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::copy(prompts[i].begin(), prompts[i].end(), batch.ids.data_ptr<int64_t>() + i * longest);
  }
  return batch;
}

TokenBatch TokenBatch::slice(int64_t first, int64_t end) const {
  return {ids.slice(0, first, end), {lengths.begin() + first, lengths.begin() + end}};
}

Rows TokenBatch::rows() const {
  const at::Tensor position =
      at::arange(ids.size(1), ids.options()).unsqueeze(0).expand({size(), -1});
  const at::Tensor length = at::tensor(lengths, at::kLong).to(ids.device()).unsqueeze(1);
  return {position, position < length, length};
}

Transformer::Transformer(ModelConfig config, ModelWeights weights)
    : config_(std::move(config)), weights_(std::move(weights)) {
  config_.validate();
  const int64_t half = config_.head_dim / 2;
  const at::Tensor exponent = at::arange(half, at::kDouble) / static_cast<double>(half);
  const at::Tensor inv_freq = at::pow(config_.rope_theta, -exponent).to(at::kFloat);
  const at::Tensor angle =
      at::outer(at::arange(config_.max_position_embeddings, at::kFloat), inv_freq);
  const at::Tensor both = at::cat({angle, angle}, -1).to(weights_.embed.device());
  rope_cos_ = both.cos();
  rope_sin_ = both.sin();
}

Transformer Transformer::to(at::ScalarType dtype) const {
  ModelWeights cast = weights_;
  cast.embed = weights_.embed.to(dtype);
  cast.head = config_.tie_word_embeddings ? cast.embed : weights_.head.to(dtype);
  for (LayerWeights& layer : cast.layers) {
    for (at::Tensor* matrix : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      *matrix = matrix->to(dtype);
    }
  }
  return Transformer(config_, std::move(cast));
}

at::ScalarType Transformer::dtype() const { return weights_.embed.scalar_type(); }

at::Tensor Transformer::embed(const at::Tensor& ids) const {
  return at::embedding(weights_.embed, ids).to(at::kFloat);
}

at::Tensor Transformer::logits(const at::Tensor& resid) const {
  const at::Tensor normed = rms_normalized(resid, config_.rms_norm_eps) * weights_.final_norm;
  return matmul_weight(normed, weights_.head);
}

at::Tensor Transformer::logits_of(const at::Tensor& resid, const at::Tensor& tokens) const {
  check_shape("resid", resid, {{"n"}, {"d_model", d_model()}});
  check_shape("tokens", tokens, {{"n", resid.size(0)}, {"k"}});
  const at::Tensor normed = rms_normalized(resid, config_.rms_norm_eps) * weights_.final_norm;
  const at::Tensor rows = at::embedding(weights_.head, tokens).to(at::kFloat);  // [n, k, d_model]
  FlopCount::add(2 * rows.numel());
  return at::bmm(rows, normed.unsqueeze(-1)).squeeze(-1);
}

at::Tensor Transformer::causal_mask(const Rows& rows,
                                    const at::Tensor& key_position,
                                    const at::Tensor& key_is_real) {
  const at::Tensor visible = (key_position.unsqueeze(1) <= rows.position.unsqueeze(2)) &
                             key_is_real.unsqueeze(1);  // [batch, rows, keys]
  // A padding row sees its first key, so that its (unused) softmax is finite.
  const at::Tensor hidden = ~visible & visible.any(-1, /*keepdim=*/true);
  return at::zeros(visible.sizes(), rows.position.options().dtype(at::kFloat))
      .masked_fill(hidden, -std::numeric_limits<float>::infinity())
      .unsqueeze(1)
      .unsqueeze(1);  // [batch, 1, 1, rows, keys]
}

at::Tensor Transformer::rotate(const at::Tensor& heads, const at::Tensor& position) const {
  const at::Tensor cos = rope_cos_.index({position}).unsqueeze(2);  // [batch, rows, 1, d_head]
  const at::Tensor sin = rope_sin_.index({position}).unsqueeze(2);
  return heads * cos + rotate_half(heads) * sin;
}

at::Tensor Transformer::attention(int64_t layer,
                                  const at::Tensor& normed,
                                  const AttentionView& view,
                                  const BlockHooks& hooks) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const int64_t n_heads = config_.num_attention_heads, n_kv = config_.num_key_value_heads;
  const int64_t d_head = config_.head_dim, batch = normed.size(0), rows = normed.size(1);
  const at::Tensor qkv =
      matmul_weight(normed, w.qkv).view({batch, rows, n_heads + 2 * n_kv, d_head});
  const auto parts = qkv.split_with_sizes({n_heads, n_kv, n_kv}, 2);
  at::Tensor q = rotate(parts[0], view.rows.position);
  at::Tensor k = rotate(parts[1], view.rows.position);
  at::Tensor v = parts[2];
  capture(hooks, {layer, SiteKind::kQ}, parts[0]);
  capture(hooks, {layer, SiteKind::kK}, parts[1]);
  capture(hooks, {layer, SiteKind::kV}, v);
  capture(hooks, {layer, SiteKind::kRotQ}, q);
  capture(hooks, {layer, SiteKind::kRotK}, k);

  k = k.transpose(1, 2);  // [batch, n_kv_heads, rows, d_head]
  v = v.transpose(1, 2);
  if (view.prefix) {
    k = at::cat({view.prefix->keys[static_cast<size_t>(layer)], k}, 2);
    v = at::cat({view.prefix->values[static_cast<size_t>(layer)], v}, 2);
  }
  if (view.buffer) std::tie(k, v) = view.buffer->append(layer, k, v);
  if (hooks.cache) {
    hooks.cache->keys[static_cast<size_t>(layer)] = k;
    hooks.cache->values[static_cast<size_t>(layer)] = v;
  }
  at::Tensor mask = view.mask;
  if (view.keep) {
    q = gather_rows(q.flatten(2), *view.keep).view({batch, -1, n_heads, d_head});
    const at::Tensor index = view.keep->view({batch, 1, 1, -1, 1});
    mask = mask.gather(3, index.expand({-1, 1, 1, -1, mask.size(4)}));
  }
  const int64_t n_query = q.size(1), n_keys = k.size(2), group = n_heads / n_kv;
  const at::Tensor grouped = q.transpose(1, 2).reshape({batch * n_kv, group * n_query, d_head});
  const at::Tensor keys = k.reshape({batch * n_kv, n_keys, d_head});
  const double scale = 1.0 / std::sqrt(static_cast<double>(d_head));
  at::Tensor scores = at::bmm(grouped, keys.transpose(1, 2)) * scale;
  scores = scores.view({batch, n_kv, group, n_query, n_keys}) + mask;
  const at::Tensor pattern = at::softmax(scores, -1);
  capture(hooks, {layer, SiteKind::kPattern}, pattern.flatten(1, 2));
  const at::Tensor values = v.reshape({batch * n_kv, n_keys, d_head});
  const at::Tensor z = at::bmm(pattern.view({batch * n_kv, group * n_query, n_keys}), values)
                           .view({batch, n_heads, n_query, d_head})
                           .transpose(1, 2);
  FlopCount::add(4 * batch * n_heads * n_query * n_keys * d_head);
  capture(hooks, {layer, SiteKind::kZ}, z);
  return matmul_weight(z.flatten(2), w.o);
}

at::Tensor Transformer::mlp(int64_t layer,
                            const at::Tensor& normed,
                            const BlockHooks& hooks) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const auto gate_up = matmul_weight(normed, w.gate_up).chunk(2, -1);
  capture(hooks, {layer, SiteKind::kMlpPre}, gate_up[0]);
  capture(hooks, {layer, SiteKind::kMlpPreLinear}, gate_up[1]);
  const at::Tensor post = at::silu(gate_up[0]) * gate_up[1];
  capture(hooks, {layer, SiteKind::kMlpPost}, post);
  return matmul_weight(post, w.down);
}

at::Tensor Transformer::block(int64_t layer,
                              at::Tensor resid,
                              const AttentionView& view,
                              const BlockHooks& hooks) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  Rows rows = view.rows;
  resid = edit_and_capture(hooks, {layer, SiteKind::kResidPre}, resid, rows);
  const at::Tensor normed1 = rms_normalized(resid, config_.rms_norm_eps);
  capture(hooks, {layer, SiteKind::kLn1Normalized}, normed1);
  const at::Tensor attn_out = attention(layer, normed1 * w.attn_norm, view, hooks);
  capture(hooks, {layer, SiteKind::kAttnOut}, attn_out);
  if (view.keep) {
    resid = gather_rows(resid, *view.keep);
    rows = {rows.position.gather(1, *view.keep), rows.is_real.gather(1, *view.keep), rows.length};
  }
  resid = edit_and_capture(hooks, {layer, SiteKind::kResidMid}, resid + attn_out, rows);
  const at::Tensor normed2 = rms_normalized(resid, config_.rms_norm_eps);
  capture(hooks, {layer, SiteKind::kLn2Normalized}, normed2);
  const at::Tensor mlp_out = mlp(layer, normed2 * w.mlp_norm, hooks);
  capture(hooks, {layer, SiteKind::kMlpOut}, mlp_out);
  return edit_and_capture(hooks, {layer, SiteKind::kResidPost}, resid + mlp_out, rows);
}

RunOutput Transformer::run(const TokenBatch& batch, const RunOptions& options) const {
  const int64_t longest = batch.ids.size(1);
  require<DataError>(longest <= config_.max_position_embeddings,
                     "prompt: got ",
                     longest,
                     " tokens, expected at most ",
                     config_.max_position_embeddings);
  const int64_t smallest = batch.ids.min().item<int64_t>(),
                largest = batch.ids.max().item<int64_t>();
  require<DataError>(smallest >= 0 && largest < config_.vocab_size,
                     "token id: got ",
                     smallest < 0 ? smallest : largest,
                     ", expected 0..",
                     config_.vocab_size - 1);
  const int64_t end =
      options.stop_before_layer < 0 ? n_layers() : std::min(options.stop_before_layer, n_layers());
  RunOutput output;
  const Rows rows = batch.rows();
  const AttentionView view{rows, causal_mask(rows, rows.position, rows.is_real)};
  const BlockHooks hooks{&options.hooks, &output.activations, options.cache};
  if (options.cache) {
    options.cache->keys.assign(static_cast<size_t>(n_layers()), {});
    options.cache->values.assign(static_cast<size_t>(n_layers()), {});
  }
  at::Tensor resid = embed(batch.ids);
  capture(hooks, {-1, SiteKind::kEmbed}, resid);
  for (int64_t layer = 0; layer < end; ++layer) resid = block(layer, resid, view, hooks);
  capture(hooks, {-1, SiteKind::kFinalNormalized}, rms_normalized(resid, config_.rms_norm_eps));
  output.resid = resid;
  return output;
}

}  // namespace rebound
