// SAELens folders: cfg.json + sae_weights.safetensors (v6, and the flat cfg of versions before 6).
// Reading is load_sae() (load_sae.h); this is what is brought to the form of sae.h (each exact):
//   gated      -> JumpReLU with W_enc e^r_mag, b_mag and threshold max(0, b_mag - b_gate e^r_mag)
//   expected_average_only_in, factor s -> W_enc *= s, W_dec /= s, b_dec /= s
//   rescale_acts_by_decoder_norm -> decoder rows of norm 1, encoder columns and b_enc times the
//   norm (after s, as SAELens: codes are in units of the output)
//   batchtopk kinds of training checkpoints -> JumpReLU with topk_threshold for every latent
//   log_threshold (training checkpoints) -> threshold = exp
// s is not in the weight file; it is taken from LoadSaeOptions, then `norm_scaling_factor` in
// cfg.json, then activation_scaler.json beside it, then assets/registry.json; without one the file
// is refused. Refused by name: matching_pursuit, temporal, phase_multiplexed, crosscoders,
// normalisations other than those of sae.h, and finetuned scaling factors other than 1.
// Fields of cfg.json that are not named here do not matter for inference and are ignored.
#pragma once

#include <filesystem>

#include "rebound/sae/load_sae.h"
#include "rebound/sae/sae.h"

namespace rebound {

enum class SaveDType { kFloat32, kFloat16 };

// Writes a v6 folder that SAELens loads. Each file appears whole or not at all. Throws DataError on
// what SAELens has no architecture for (signed_topk, groupmax, a skip without transcoder, a TopK
// transcoder).
void save_sae(const Sae& sae, const std::filesystem::path& folder, SaveDType dtype);

}  // namespace rebound
