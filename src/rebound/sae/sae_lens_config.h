// cfg.json of SAELens, both layouts, as one plain record (formats.md 1.1).
#pragma once

#include <optional>
#include <string>

#include "rebound/sae/sae.h"

namespace rebound {

struct SaeLensConfig {
  std::string architecture = "standard";  // as in the file
  std::string normalize_activations = "none";
  bool rescale_acts_by_decoder_norm = false;
  bool finetuning_scaling_factor = false;
  std::optional<double> norm_scaling_factor;
  SaeConfig sae;  // everything that stays after loading
};

// `where` names the file. Throws DataError on wrong types and on what is not implemented.
SaeLensConfig parse_sae_lens_config(const Json& cfg, const std::string& where);

// The per-token norm of a normalize_activations; kNone for what is folded. DataError otherwise.
SaeNorm sae_lens_norm(const std::string& name);

Json sae_lens_config_json(const SaeConfig& config, bool has_skip, bool float16);

}  // namespace rebound
