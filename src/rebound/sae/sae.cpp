#include "rebound/sae/sae.h"

#include <ATen/ATen.h>

#include <cmath>

#include "rebound/base/shape.h"

namespace rebound {
namespace {

at::Tensor checked_weight(const char* name, const at::Tensor& weight, std::vector<Axis> axes) {
  require<DataError>(weight.defined(), name, ": missing");
  check_shape(name, weight, axes);
  at::Tensor wide = weight.detach().to(at::kFloat).contiguous();
  require<DataError>(at::isfinite(wide).all().item<bool>(),
                     name,
                     ": got NaN or infinite weights, expected finite numbers");
  return wide;
}

at::Tensor index_of(const Sae::Features& features, const at::Tensor& like) {
  return at::tensor(features, at::kLong).to(like.device());
}

}  // namespace

std::string to_string(SaeKind kind) {
  switch (kind) {
    case SaeKind::kStandard:
      return "standard";
    case SaeKind::kJumpRelu:
      return "jumprelu";
    case SaeKind::kTopK:
      return "topk";
  }
  return "unknown";
}

std::string to_string(SaeNorm norm) {
  switch (norm) {
    case SaeNorm::kNone:
      return "none";
    case SaeNorm::kConstantNormRescale:
      return "constant_norm_rescale";
    case SaeNorm::kLayerNorm:
      return "layer_norm";
  }
  return "unknown";
}

Sae::Sae(SaeConfig config, SaeWeights weights) : config_(std::move(config)) {
  const Axis in{"d_in", config_.d_in};
  const Axis latents{"d_sae", config_.d_sae};
  require<DataError>(config_.d_in > 0 && config_.d_sae > 0,
                     "SAE: d_in and d_sae must be > 0, got ",
                     config_.d_in,
                     " and ",
                     config_.d_sae);
  if (config_.kind == SaeKind::kTopK) {
    require<DataError>(config_.k >= 1 && config_.k <= config_.d_sae,
                       "SAE: k must be in 1..",
                       config_.d_sae,
                       ", got ",
                       config_.k);
  }
  weights_.W_enc = checked_weight("W_enc", weights.W_enc, {in, latents});
  weights_.b_enc = checked_weight("b_enc", weights.b_enc, {latents});
  weights_.W_dec = checked_weight("W_dec", weights.W_dec, {latents, in});
  weights_.b_dec = checked_weight("b_dec", weights.b_dec, {in});
  if (config_.kind == SaeKind::kJumpRelu) {
    weights_.threshold = checked_weight("threshold", weights.threshold, {latents});
  } else {
    weights_.threshold = at::zeros_like(weights_.b_enc);
  }
}

Sae::TokenScale Sae::token_scale(const at::Tensor& x) const {
  if (config_.norm == SaeNorm::kNone) return {};
  require<ConfigError>(x.defined(), "Sae::decode: this SAE normalises its input, so x is needed");
  if (config_.norm == SaeNorm::kConstantNormRescale) {
    const double root_d = std::sqrt(static_cast<double>(config_.d_in));
    const at::Tensor scale = x.norm(2, {-1}, true) / root_d;
    return {scale, at::zeros_like(scale)};
  }
  return {x.std({-1}, true, true) + 1e-5, x.mean({-1}, true)};
}

at::Tensor Sae::sae_input(const at::Tensor& x) const {
  require<DataError>(x.dim() >= 1 && x.size(-1) == config_.d_in,
                     "SAE input: got width ",
                     x.dim() >= 1 ? x.size(-1) : 0,
                     ", expected d_in=",
                     config_.d_in);
  const TokenScale norm = token_scale(x);
  const at::Tensor scaled = norm.scale.defined() ? (x - norm.shift) / norm.scale : x;
  return config_.apply_b_dec_to_input ? scaled - weights_.b_dec : scaled;
}

void Sae::check_features(const Features& features) const {
  for (const int64_t feature : features) {
    require<ConfigError>(feature >= 0 && feature < config_.d_sae,
                         "SAE feature: got ",
                         feature,
                         ", expected 0..",
                         config_.d_sae - 1);
  }
}

at::Tensor Sae::pre_activations(const at::Tensor& x) const {
  return at::matmul(sae_input(x), weights_.W_enc) + weights_.b_enc;
}

at::Tensor Sae::pre_activations(const at::Tensor& x, const Features& features) const {
  check_features(features);
  const at::Tensor index = index_of(features, weights_.W_enc);
  return at::matmul(sae_input(x), weights_.W_enc.index_select(1, index)) +
         weights_.b_enc.index_select(0, index);
}

at::Tensor Sae::activate(const at::Tensor& pre, const at::Tensor& threshold) const {
  const at::Tensor open = (pre > threshold).logical_and(pre > 0);
  return pre * open.to(pre.scalar_type());
}

at::Tensor Sae::encode(const at::Tensor& x) const {
  const at::Tensor pre = pre_activations(x);
  if (is_pointwise()) return activate(pre, weights_.threshold);
  const auto [values, index] = pre.topk(config_.k, -1);
  return at::zeros_like(pre).scatter(-1, index, values.relu());
}

at::Tensor Sae::encode(const at::Tensor& x, const Features& features) const {
  check_features(features);
  const at::Tensor index = index_of(features, weights_.W_enc);
  if (!is_pointwise()) return encode(x).index_select(-1, index);
  return activate(pre_activations(x, features), weights_.threshold.index_select(0, index));
}

at::Tensor Sae::decode(const at::Tensor& f, const at::Tensor& x) const {
  const at::Tensor out = at::matmul(f, weights_.W_dec) + weights_.b_dec;
  const TokenScale norm = token_scale(x);
  return norm.scale.defined() ? out * norm.scale + norm.shift : out;
}

at::Tensor Sae::decode_delta(const Features& features,
                             const at::Tensor& df,
                             const at::Tensor& x) const {
  const at::Tensor out = at::matmul(df, decoder_rows(features));
  const TokenScale norm = token_scale(x);
  return norm.scale.defined() ? out * norm.scale : out;
}

at::Tensor Sae::error(const at::Tensor& x) const { return x - decode(encode(x), x); }

at::Tensor Sae::encoder_columns(const Features& features) const {
  check_features(features);
  const at::Tensor columns = weights_.W_enc.index_select(1, index_of(features, weights_.W_enc));
  if (config_.norm != SaeNorm::kLayerNorm) return columns;
  return columns - columns.mean({0}, true);
}

at::Tensor Sae::decoder_rows(const Features& features) const {
  check_features(features);
  return weights_.W_dec.index_select(0, index_of(features, weights_.W_dec));
}

}  // namespace rebound
