// A sparse autoencoder at inference: codes f, reconstruction, error term.
//
//   x'  = norm(x) - b_dec * [apply_b_dec_to_input]
//   p   = x' W_enc + b_enc                           pre-activations
//   f   = ReLU(p) * 1[p > threshold]                 pointwise kinds (ReLU has threshold 0)
//   f   = ReLU(top k of p, the rest 0)               TopK
//   out = undo_norm(f W_dec + b_dec)
//
// x is [..., d_in], p and f are [..., d_sae], float32. Everything is differentiable in x and f;
// the weights never carry gradients. Files of other shape are brought to this form when read
// (sae_lens_format.h): gated SAEs are exactly a JumpReLU, decoder norms are folded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

enum class SaeKind { kStandard, kJumpRelu, kTopK };

// norm(x) and its inverse, per token:
//   kNone                x
//   kConstantNormRescale x sqrt(d_in) / |x|
//   kLayerNorm           (x - mean) / (std + 1e-5), std with n - 1
enum class SaeNorm { kNone, kConstantNormRescale, kLayerNorm };

std::string to_string(SaeKind kind);  // as in cfg.json: "standard", "jumprelu", "topk"
std::string to_string(SaeNorm norm);  // "none", "constant_norm_rescale", "layer_norm"

struct SaeConfig {
  SaeKind kind = SaeKind::kStandard;
  SaeNorm norm = SaeNorm::kNone;
  int64_t d_in = 0;
  int64_t d_sae = 0;
  int64_t k = 0;  // TopK only
  bool apply_b_dec_to_input = true;
  std::string hook_name;   // "blocks.12.hook_resid_pre"
  std::string model_name;  // as the file says; "" when it does not
  Json metadata = Json::object();
};

struct SaeWeights {
  at::Tensor W_enc;      // [d_in, d_sae]
  at::Tensor b_enc;      // [d_sae]
  at::Tensor W_dec;      // [d_sae, d_in]
  at::Tensor b_dec;      // [d_in]
  at::Tensor threshold;  // [d_sae]; zeros for kStandard and kTopK
};

class Sae {
 public:
  using Features = std::vector<int64_t>;

  // Checks shapes, widens to float32. Throws DataError on shapes, NaN or infinite weights, and a
  // k outside 1..d_sae.
  Sae(SaeConfig config, SaeWeights weights);

  const SaeConfig& config() const { return config_; }
  const SaeWeights& weights() const { return weights_; }
  int64_t d_in() const { return config_.d_in; }
  int64_t d_sae() const { return config_.d_sae; }

  // A latent's code depends on its own pre-activation alone. Not so for TopK: latents compete.
  bool is_pointwise() const { return config_.kind != SaeKind::kTopK; }

  at::Tensor pre_activations(const at::Tensor& x) const;                            // [..., d_sae]
  at::Tensor pre_activations(const at::Tensor& x, const Features& features) const;  // [..., n]
  at::Tensor encode(const at::Tensor& x) const;                                     // [..., d_sae]
  // Only these columns of the code; a TopK SAE computes the full code and selects.
  at::Tensor encode(const at::Tensor& x, const Features& features) const;  // [..., n]

  // `x` is the input the code came from: the norm is undone with its statistics. It may be left
  // out when the norm is kNone.
  at::Tensor decode(const at::Tensor& f, const at::Tensor& x = {}) const;  // [..., d_in]
  // decode(f + df) - decode(f) when df [..., n] stands in the columns `features`.
  at::Tensor decode_delta(const Features& features,
                          const at::Tensor& df,
                          const at::Tensor& x = {}) const;
  at::Tensor error(const at::Tensor& x) const;  // x - decode(encode(x), x)

  // Directions of x that move the pre-activations of `features`: delta is invisible to them when
  // encoder_columns(features)^T delta = 0. Exact for kNone. For kLayerNorm the columns are
  // centred (the mean of x does not enter); under both norms the common scale of a token still
  // changes with |x|, so such a delta scales those pre-activations (before b_enc) but does not
  // turn them.
  at::Tensor encoder_columns(const Features& features) const;  // [d_in, n]
  // Directions in which codes write, up to the token's scale under a norm.
  at::Tensor decoder_rows(const Features& features) const;  // [n, d_in]

  // Throws ConfigError unless all lie in 0..d_sae-1.
  void check_features(const Features& features) const;

 private:
  struct TokenScale {
    at::Tensor scale, shift;  // norm(x) = (x - shift) / scale, [..., 1]; undefined: identity
  };
  TokenScale token_scale(const at::Tensor& x) const;
  at::Tensor sae_input(const at::Tensor& x) const;
  at::Tensor activate(const at::Tensor& pre, const at::Tensor& threshold) const;

  SaeConfig config_;
  SaeWeights weights_;
};

}  // namespace rebound
