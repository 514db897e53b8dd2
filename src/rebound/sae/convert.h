// An SAE written in another package's layout. Encode and decode of what is read back equal the
// original; only float32 rounding of folded biases differs.
//
//   saelens      cfg.json + sae_weights.safetensors, SAELens v6
//   sparsify     cfg.json + sae.safetensors; topk and groupmax only. b_dec is subtracted there from
//                the input of an SAE and not of a transcoder: b_enc makes up for the difference
//   gemma-scope  Gemma Scope 2's params.safetensors + config.json; standard and jumprelu only.
//                b_dec is never subtracted there: b_enc -= b_dec W_enc
#pragma once

#include <filesystem>
#include <string>

#include "rebound/sae/sae.h"

namespace rebound {

// Throws ConfigError on another target, DataError on an SAE that the layout cannot hold.
void convert_sae(const Sae& sae, const std::string& to, const std::filesystem::path& folder);

}  // namespace rebound
