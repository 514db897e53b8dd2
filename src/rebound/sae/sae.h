// A sparse autoencoder or transcoder at inference: codes f, reconstruction, error term.
//
//   x'  = norm(x) - b_dec * [apply_b_dec_to_input]
//   p   = x' W_enc + b_enc                           pre-activations
//   f   = ReLU(p) * 1[p > threshold]                 pointwise kinds (ReLU has threshold 0)
//   f   = ReLU(top k of p, the rest 0)               TopK
//   f   = top k of p, the rest 0                     signed TopK: values may be negative
//   f   = p where |p| is among the top k, else 0     AbsTopK
//   f   = ReLU(largest p of each of k groups)        GroupMax: groups of d_sae / k neighbours
//   out = undo_norm(f W_dec + b_dec) + x W_skip^T    the skip only where there is one
//
// x is [..., d_in], p and f are [..., d_sae], out is [..., d_out], float32. Everything is
// differentiable in x and f; the weights never carry gradients. Files of other shape are brought to
// this form when read (load_sae.h): gated SAEs and batch thresholds are exactly a JumpReLU, scales
// and decoder norms are folded, and SaeConfig::folds records each step.
//
// A transcoder predicts another site than it reads: d_out may differ, b_dec is never subtracted and
// the norm never undone. It has no error term and cannot stand where a residual stream is
// reconstructed (check_fits in load_sae.h refuses it).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

enum class SaeKind { kStandard, kJumpRelu, kTopK, kSignedTopK, kAbsTopK, kGroupMax };

// norm(x) and its inverse, per token:
//   kNone                x
//   kConstantNormRescale x sqrt(d_in) / |x|
//   kLayerNorm           (x - mean) / (std + 1e-5), std with n - 1
enum class SaeNorm { kNone, kConstantNormRescale, kLayerNorm };

// "standard", "jumprelu", "topk", "signed_topk", "abstopk", "groupmax"
std::string to_string(SaeKind kind);
std::string to_string(SaeNorm norm);  // "none", "constant_norm_rescale", "layer_norm"

// What was done to a file's tensors to bring them to the form above, or what a user must know.
struct SaeFold {
  std::string name;    // "scale", "decoder_norm", "threshold", "input_bias", "site", ...
  std::string detail;  // a formula and where its numbers come from
  std::optional<double> value;
};

Json to_json(const std::vector<SaeFold>& folds);  // [{"name", "detail", "value"}]

struct SaeConfig {
  SaeKind kind = SaeKind::kStandard;
  SaeNorm norm = SaeNorm::kNone;
  int64_t d_in = 0;
  int64_t d_sae = 0;
  int64_t k = 0;  // the TopK kinds and GroupMax only
  bool apply_b_dec_to_input = true;
  std::string hook_name;   // "blocks.12.hook_resid_pre"; "" when the file does not say
  std::string model_name;  // as the file says; "" when it does not
  Json metadata = Json::object();
  bool is_transcoder = false;
  int64_t d_out = 0;          // 0: d_in
  std::string hook_name_out;  // transcoders
  std::string format;         // of the file (load_sae.h); "" when made in memory
  std::string architecture;   // as the file calls it; "": the kind
  std::string hf_module;      // "model.layers.12.output"; "" when not known
  std::vector<SaeFold> folds;
};

struct SaeWeights {
  at::Tensor W_enc;      // [d_in, d_sae]
  at::Tensor b_enc;      // [d_sae]
  at::Tensor W_dec;      // [d_sae, d_out]
  at::Tensor b_dec;      // [d_out]
  at::Tensor threshold;  // [d_sae]; zeros except for kJumpRelu
  at::Tensor W_skip;     // [d_out, d_in]; undefined: no skip
};

class Sae {
 public:
  using Features = std::vector<int64_t>;

  // Checks shapes, widens to float32. Throws DataError on shapes, NaN or infinite weights, a k
  // outside 1..d_sae or groups of unequal size, and a transcoder that subtracts b_dec.
  Sae(SaeConfig config, SaeWeights weights);

  const SaeConfig& config() const { return config_; }
  const SaeWeights& weights() const { return weights_; }
  // A copy on another device; inputs and codes live where the weights do.
  Sae to(at::Device device) const;
  at::Device device() const { return weights_.W_enc.device(); }
  int64_t d_in() const { return config_.d_in; }
  int64_t d_sae() const { return config_.d_sae; }
  int64_t d_out() const { return config_.d_out; }
  bool is_transcoder() const { return config_.is_transcoder; }

  // A latent's code depends on its own pre-activation alone. Not so where latents compete (TopK
  // kinds, GroupMax).
  bool is_pointwise() const {
    return config_.kind == SaeKind::kStandard || config_.kind == SaeKind::kJumpRelu;
  }

  at::Tensor pre_activations(const at::Tensor& x) const;                            // [..., d_sae]
  at::Tensor pre_activations(const at::Tensor& x, const Features& features) const;  // [..., n]
  at::Tensor encode(const at::Tensor& x) const;                                     // [..., d_sae]
  // Only these columns of the code; where latents compete the full code is computed first.
  at::Tensor encode(const at::Tensor& x, const Features& features) const;  // [..., n]

  // `x` is the input the code came from: the norm is undone with its statistics, the skip starts
  // from it. It may be left out when the norm is kNone and there is no skip.
  at::Tensor decode(const at::Tensor& f, const at::Tensor& x = {}) const;  // [..., d_out]
  // decode(f + df) - decode(f) when df [..., n] stands in the columns `features`.
  at::Tensor decode_delta(const Features& features,
                          const at::Tensor& df,
                          const at::Tensor& x = {}) const;
  at::Tensor error(const at::Tensor& x) const;  // x - decode(encode(x), x); no transcoder has one

  // Directions of x that move the pre-activations of `features`: delta is invisible to them when
  // encoder_columns(features)^T delta = 0. Exact for kNone. For kLayerNorm the columns are
  // centred (the mean of x does not enter); under both norms the common scale of a token still
  // changes with |x|, so such a delta scales those pre-activations (before b_enc) but does not
  // turn them.
  at::Tensor encoder_columns(const Features& features) const;  // [d_in, n]
  // Directions in which codes write, up to the token's scale under a norm.
  at::Tensor decoder_rows(const Features& features) const;  // [n, d_out]

  // Throws ConfigError unless all lie in 0..d_sae-1.
  void check_features(const Features& features) const;

 private:
  struct TokenScale {
    at::Tensor scale, shift;  // norm(x) = (x - shift) / scale, [..., 1]; undefined: identity
  };
  TokenScale token_scale(const at::Tensor& x) const;
  TokenScale undo_scale(const at::Tensor& x) const;  // identity for transcoders
  at::Tensor sae_input(const at::Tensor& x) const;
  at::Tensor activate(const at::Tensor& pre, const at::Tensor& threshold) const;
  at::Tensor compete(const at::Tensor& pre) const;

  SaeConfig config_;
  SaeWeights weights_;
};

}  // namespace rebound
