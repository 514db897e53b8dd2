#include "rebound/model/transformer.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/model/block_hooks.h"
#include "rebound/model/device.h"
#include "rebound/model/family_sites.h"
#include "rebound/model/linear.h"

namespace rebound {
namespace {

at::Tensor activated(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
    default:
      return at::silu(x);
  }
}

// What attention or MLP wrote, normalised where the family does so.
at::Tensor written(const at::Tensor& out, const at::Tensor& gain, const ModelConfig& config) {
  return gain.defined() ? rms_normalized(out, config.rms_norm_eps) * gain : out;
}

// Every matrix once; a tied head is what its embedding became.
template <class Body>
void each_matrix(ModelWeights& weights, bool is_tied, const Body& body) {
  body(weights.embed);
  if (weights.position_embed.defined()) body(weights.position_embed);
  for (LayerWeights& layer : weights.layers) {
    for (Matrix* matrix : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) body(*matrix);
  }
  if (is_tied)
    weights.head = weights.embed;
  else
    body(weights.head);
}

std::vector<at::Tensor*> vectors_of(ModelWeights& weights) {
  std::vector<at::Tensor*> all = {
      &weights.final_norm, &weights.final_norm_bias, &weights.head_bias};
  for (LayerWeights& w : weights.layers) {
    all.insert(all.end(),
               {&w.attn_norm,
                &w.mlp_norm,
                &w.attn_norm_bias,
                &w.mlp_norm_bias,
                &w.qkv_bias,
                &w.o_bias,
                &w.gate_up_bias,
                &w.down_bias,
                &w.q_norm,
                &w.k_norm,
                &w.attn_out_norm,
                &w.mlp_out_norm});
  }
  return all;
}

}  // namespace

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
  if (config_.has_position_embeddings) return;
  const at::Device device = this->device();
  const auto table = [&](double theta, const RopeScaling& scaling) {
    return RopeTable(rope_frequencies(theta, config_.rotary_size(), scaling),
                     config_.max_position_embeddings,
                     device,
                     scaling.attention_factor);
  };
  rope_ = table(config_.rope_theta, config_.rope_scaling);
  if (config_.has_sliding_layers() && config_.rope_local_base_freq > 0) {
    local_rope_ = table(config_.rope_local_base_freq, {});
  }
}

Transformer Transformer::to(at::ScalarType dtype) const {
  ModelWeights cast = weights_;
  each_matrix(
      cast, config_.tie_word_embeddings, [&](Matrix& matrix) { matrix = matrix.to(dtype); });
  return Transformer(config_, std::move(cast));
}

Transformer Transformer::to(at::Device device) const {
  ModelWeights moved = weights_;
  each_matrix(
      moved, config_.tie_word_embeddings, [&](Matrix& matrix) { matrix = matrix.to(device); });
  for (at::Tensor* vector : vectors_of(moved)) {
    if (vector->defined()) *vector = vector->to(device);
  }
  return Transformer(config_, std::move(moved));
}

std::string Transformer::precision() const {
  std::set<std::string> forms;
  ModelWeights weights = weights_;
  each_matrix(weights, config_.tie_word_embeddings, [&](const Matrix& matrix) {
    forms.merge(matrix.forms());
  });
  std::string text;
  for (const std::string& form : forms) text += (text.empty() ? "" : ", ") + form;
  return text;
}

// Differs from HF: with 16-bit weights HF rounds Gemma's scale to 16 bits.
at::Tensor Transformer::embed(const at::Tensor& ids) const {
  const at::Tensor rows = weights_.embed.rows(ids.to(device()));
  return config_.embed_scale == 1 ? rows : rows * config_.embed_scale;
}

at::Tensor Transformer::with_positions(const at::Tensor& embedded,
                                       const at::Tensor& position) const {
  if (!weights_.position_embed.defined()) return embedded;
  return embedded + weights_.position_embed.rows(position);
}

at::Tensor Transformer::final_normed(const at::Tensor& resid) const {
  return with_gain(normalized(resid, config_), weights_.final_norm, weights_.final_norm_bias);
}

at::Tensor Transformer::logits(const at::Tensor& resid) const {
  return soft_capped(linear(final_normed(resid), weights_.head, weights_.head_bias),
                     config_.final_logit_softcapping);
}

at::Tensor Transformer::logits_of(const at::Tensor& resid, const at::Tensor& tokens) const {
  check_shape("resid", resid, {{"n"}, {"d_model", d_model()}});
  check_shape("tokens", tokens, {{"n", resid.size(0)}, {"k"}});
  const at::Tensor index = tokens.to(device());
  const at::Tensor rows = weights_.head.rows(index);  // [n, k, d_model]
  FlopCount::add(2 * rows.numel());
  at::Tensor logits = at::bmm(rows, final_normed(resid).unsqueeze(-1)).squeeze(-1);
  if (weights_.head_bias.defined()) logits = logits + weights_.head_bias.index({index});
  return soft_capped(logits, config_.final_logit_softcapping);
}

at::Tensor Transformer::mlp(int64_t layer,
                            const at::Tensor& normed,
                            const BlockHooks& hooks) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const at::Tensor in = linear(normed, w.gate_up, w.gate_up_bias);
  at::Tensor post;
  if (config_.has_gate) {
    const auto gate_up = in.chunk(2, -1);
    capture(hooks, {layer, SiteKind::kMlpPre}, gate_up[0]);
    capture(hooks, {layer, SiteKind::kMlpPreLinear}, gate_up[1]);
    post = activated(gate_up[0], config_.activation) * gate_up[1];
  } else {
    capture(hooks, {layer, SiteKind::kMlpPre}, in);
    post = activated(in, config_.activation);
  }
  capture(hooks, {layer, SiteKind::kMlpPost}, post);
  return linear(post, w.down, w.down_bias);
}

at::Tensor Transformer::block(int64_t layer,
                              at::Tensor resid,
                              const AttentionView& view,
                              const BlockHooks& hooks) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const auto normed =
      [&](SiteKind site, const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias) {
        if (!gain.defined()) return x;
        const at::Tensor bare = normalized(x, config_);
        capture(hooks, {layer, site}, bare);
        return with_gain(bare, gain, bias);
      };
  Rows rows = view.rows;
  resid = edit_and_capture(hooks, {layer, SiteKind::kResidPre}, resid, rows);
  at::Tensor mlp_in = normed(SiteKind::kLn1Normalized, resid, w.attn_norm, w.attn_norm_bias);
  const at::Tensor attn_out =
      written(attention(layer, mlp_in, view, hooks), w.attn_out_norm, config_);
  capture(hooks, {layer, SiteKind::kAttnOut}, attn_out);
  if (view.keep) {
    resid = gather_rows(resid, *view.keep);
    if (config_.shares_norm) mlp_in = gather_rows(mlp_in, *view.keep);
    rows = {rows.position.gather(1, *view.keep), rows.is_real.gather(1, *view.keep), rows.length};
  }
  at::Tensor mid = resid + attn_out;
  if (!config_.is_parallel) mid = edit_and_capture(hooks, {layer, SiteKind::kResidMid}, mid, rows);
  if (!config_.shares_norm) {
    const at::Tensor& read = config_.is_parallel ? resid : mid;
    mlp_in = normed(SiteKind::kLn2Normalized, read, w.mlp_norm, w.mlp_norm_bias);
  }
  const at::Tensor mlp_out = written(mlp(layer, mlp_in, hooks), w.mlp_out_norm, config_);
  capture(hooks, {layer, SiteKind::kMlpOut}, mlp_out);
  return edit_and_capture(hooks, {layer, SiteKind::kResidPost}, mid + mlp_out, rows);
}

void Transformer::check_ids(const at::Tensor& ids) const {
  const int64_t smallest = ids.min().item<int64_t>(), largest = ids.max().item<int64_t>();
  require<DataError>(smallest >= 0 && largest < config_.vocab_size,
                     "token id: got ",
                     smallest < 0 ? smallest : largest,
                     ", expected 0..",
                     config_.vocab_size - 1);
}

RunOutput Transformer::run(const TokenBatch& batch, const RunOptions& options) const {
  const int64_t longest = batch.ids.size(1);
  require<DataError>(longest <= config_.max_position_embeddings,
                     "prompt: got ",
                     longest,
                     " tokens, expected at most ",
                     config_.position_limit());
  check_ids(batch.ids);
  require_sites(config_, options.hooks);
  const int64_t end =
      options.stop_before_layer < 0 ? n_layers() : std::min(options.stop_before_layer, n_layers());
  RunOutput output;
  const TokenBatch here = on_device(batch, device());
  const Rows rows = here.rows();
  const AttentionView view{rows, causal_masks(rows, rows.position, rows.is_real)};
  const BlockHooks hooks{&options.hooks, &output.activations, options.cache};
  if (options.cache) {
    options.cache->keys.assign(static_cast<size_t>(n_layers()), {});
    options.cache->values.assign(static_cast<size_t>(n_layers()), {});
  }
  at::Tensor resid = embed(here.ids);
  capture(hooks, {-1, SiteKind::kEmbed}, resid);
  if (config_.has_position_embeddings) {
    const at::Tensor embedded = resid;
    resid = with_positions(embedded, rows.position);
    capture(hooks, {-1, SiteKind::kPosEmbed}, resid - embedded);
  }
  for (int64_t layer = 0; layer < end; ++layer) resid = block(layer, resid, view, hooks);
  if (is_captured(hooks, {-1, SiteKind::kFinalNormalized})) {
    capture(hooks, {-1, SiteKind::kFinalNormalized}, normalized(resid, config_));
  }
  output.resid = resid;
  return output;
}

}  // namespace rebound
