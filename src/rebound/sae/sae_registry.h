// What weight files lack: scale factors, normalisation and processing of the model that stand in
// SAELens' own list of releases. assets/registry.json (made by tools/golden/make_sae_registry.py,
// each release with its source) travels inside the program.
#pragma once

#include <optional>
#include <string>

namespace rebound {

struct RegistryRow {
  std::string release, id, source;
  std::optional<double> norm_scaling_factor;
  std::string normalize_activations;  // "": as the file says
  // The model whose activations it was trained on had its writing weights centred
  // (TransformerLens processing).
  bool center_writing_weights = false;
};

// The row `wanted` ("release/id"; ConfigError when there is none), else the row whose repository
// and folder are both part of the path: ".../models--ORG--NAME/snapshots/REV/FOLDER" or
// ".../ORG/NAME/FOLDER". Nothing when no row fits.
std::optional<RegistryRow> find_registry_row(const std::string& path_text,
                                             const std::string& wanted);

}  // namespace rebound
