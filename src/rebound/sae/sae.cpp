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

void check_config(const SaeConfig& config) {
  require<DataError>(config.d_in > 0 && config.d_sae > 0 && config.d_out > 0,
                     "SAE: d_in, d_out and d_sae must be > 0, got ",
                     config.d_in,
                     ", ",
                     config.d_out,
                     " and ",
                     config.d_sae);
  require<DataError>(config.is_transcoder || config.d_out == config.d_in,
                     "SAE: got d_out=",
                     config.d_out,
                     " other than d_in=",
                     config.d_in,
                     ", which only a transcoder may have");
  require<DataError>(!config.is_transcoder || !config.apply_b_dec_to_input,
                     "SAE: a transcoder cannot subtract b_dec from its input");
  if (config.kind == SaeKind::kStandard || config.kind == SaeKind::kJumpRelu) return;
  require<DataError>(config.k >= 1 && config.k <= config.d_sae,
                     "SAE: k must be in 1..",
                     config.d_sae,
                     ", got ",
                     config.k);
  require<DataError>(config.kind != SaeKind::kGroupMax || config.d_sae % config.k == 0,
                     "SAE: groupmax needs k groups of equal size, got k=",
                     config.k,
                     " and d_sae=",
                     config.d_sae);
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
    case SaeKind::kSignedTopK:
      return "signed_topk";
    case SaeKind::kAbsTopK:
      return "abstopk";
    case SaeKind::kGroupMax:
      return "groupmax";
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

Json to_json(const std::vector<SaeFold>& folds) {
  Json rows = Json::array();
  for (const SaeFold& fold : folds) {
    Json row = {{"name", fold.name}, {"detail", fold.detail}};
    if (fold.value) row["value"] = *fold.value;
    rows.push_back(std::move(row));
  }
  return rows;
}

Sae::Sae(SaeConfig config, SaeWeights weights) : config_(std::move(config)) {
  if (config_.d_out == 0) config_.d_out = config_.d_in;
  if (config_.architecture.empty()) config_.architecture = to_string(config_.kind);
  check_config(config_);
  const Axis in{"d_in", config_.d_in};
  const Axis out{"d_out", config_.d_out};
  const Axis latents{"d_sae", config_.d_sae};
  weights_.W_enc = checked_weight("W_enc", weights.W_enc, {in, latents});
  weights_.b_enc = checked_weight("b_enc", weights.b_enc, {latents});
  weights_.W_dec = checked_weight("W_dec", weights.W_dec, {latents, out});
  weights_.b_dec = checked_weight("b_dec", weights.b_dec, {out});
  if (weights.W_skip.defined()) {
    weights_.W_skip = checked_weight("W_skip", weights.W_skip, {out, in});
  }
  if (config_.kind == SaeKind::kJumpRelu) {
    weights_.threshold = checked_weight("threshold", weights.threshold, {latents});
  } else {
    weights_.threshold = at::zeros_like(weights_.b_enc);
  }
}

Sae Sae::to(at::Device device) const {
  if (device == this->device()) return *this;
  SaeWeights moved = weights_;
  for (at::Tensor* weight :
       {&moved.W_enc, &moved.b_enc, &moved.W_dec, &moved.b_dec, &moved.threshold, &moved.W_skip}) {
    if (weight->defined()) *weight = weight->to(device);
  }
  return Sae(config_, std::move(moved));
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

Sae::TokenScale Sae::undo_scale(const at::Tensor& x) const {
  return config_.is_transcoder ? TokenScale{} : token_scale(x);
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

at::Tensor Sae::compete(const at::Tensor& pre) const {
  if (config_.kind == SaeKind::kGroupMax) {
    const int64_t size = config_.d_sae / config_.k;
    const auto [values, place] = pre.unflatten(-1, {config_.k, size}).max(-1);
    const at::Tensor first = at::arange(config_.k, place.options()) * size;
    return at::zeros_like(pre).scatter(-1, place + first, values.relu());
  }
  const bool by_magnitude = config_.kind == SaeKind::kAbsTopK;
  const at::Tensor index = std::get<1>((by_magnitude ? pre.abs() : pre).topk(config_.k, -1));
  const at::Tensor values = pre.gather(-1, index);
  return at::zeros_like(pre).scatter(
      -1, index, config_.kind == SaeKind::kTopK ? values.relu() : values);
}

at::Tensor Sae::encode(const at::Tensor& x) const {
  const at::Tensor pre = pre_activations(x);
  return is_pointwise() ? activate(pre, weights_.threshold) : compete(pre);
}

at::Tensor Sae::encode(const at::Tensor& x, const Features& features) const {
  check_features(features);
  const at::Tensor index = index_of(features, weights_.W_enc);
  if (!is_pointwise()) return encode(x).index_select(-1, index);
  return activate(pre_activations(x, features), weights_.threshold.index_select(0, index));
}

at::Tensor Sae::decode(const at::Tensor& f, const at::Tensor& x) const {
  at::Tensor out = at::matmul(f, weights_.W_dec) + weights_.b_dec;
  const TokenScale norm = undo_scale(x);
  if (norm.scale.defined()) out = out * norm.scale + norm.shift;
  if (!weights_.W_skip.defined()) return out;
  require<ConfigError>(x.defined(), "Sae::decode: this SAE has a skip connection, so x is needed");
  return out + at::matmul(x, weights_.W_skip.t());
}

at::Tensor Sae::decode_delta(const Features& features,
                             const at::Tensor& df,
                             const at::Tensor& x) const {
  const at::Tensor out = at::matmul(df, decoder_rows(features));
  const TokenScale norm = undo_scale(x);
  return norm.scale.defined() ? out * norm.scale : out;
}

at::Tensor Sae::error(const at::Tensor& x) const {
  require<ConfigError>(!config_.is_transcoder, "Sae::error: a transcoder has no error term");
  return x - decode(encode(x), x);
}

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
