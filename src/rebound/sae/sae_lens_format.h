// SAELens folders: cfg.json + sae_weights.safetensors (v6, and the flat cfg of versions before 6).
//
//   const Sae sae = load_sae("assets/sae/smollm2-135m-instruct-l12");
//
// What is brought to the form of sae.h while reading (each exact):
//   gated      -> JumpReLU with W_enc e^r_mag, b_mag and threshold max(0, b_mag - b_gate e^r_mag)
//   rescale_acts_by_decoder_norm -> decoder rows of norm 1, encoder columns and b_enc times the
//   norm expected_average_only_in, factor s -> W_enc *= s, W_dec /= s, b_dec /= s log_threshold
//   (training checkpoints) -> threshold = exp
// s is not in the weight file; it is taken from LoadSaeOptions, then `norm_scaling_factor` in
// cfg.json, then activation_scaler.json beside it; without one the file is refused.
// Refused with one line: transcoders, matching_pursuit, temporal, phase_multiplexed, crosscoders,
// normalisations other than those of sae.h, and finetuned scaling factors other than 1.
// Fields of cfg.json that are not named here do not matter for inference and are ignored.
#pragma once

#include <filesystem>
#include <optional>

#include "rebound/model/config.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct LoadSaeOptions {
  std::optional<double> norm_scaling_factor;  // s above
};

// Throws IoError (cannot read) or DataError (file against itself, NaN, not implemented).
Sae load_sae(const std::filesystem::path& folder, const LoadSaeOptions& options = {});

enum class SaveDType { kFloat32, kFloat16 };

// Writes a v6 folder that SAELens loads. Each file appears whole or not at all.
void save_sae(const Sae& sae, const std::filesystem::path& folder, SaveDType dtype);

// The SAE's width and site against the model. `hook_name` must name a residual site of a layer
// that the model has; throws DataError saying what was got and expected.
void check_fits(const Sae& sae, const ModelConfig& model);

}  // namespace rebound
