// SAE and transcoder files of every published format, brought to the one form of sae.h.
//
//   const Sae sae = load_sae("assets/sae/smollm2-135m-instruct-l12");   // format detected
//   const Sae plt = load_sae("transcoders/layer_3.safetensors");        // one file of a set
//
// The format is decided by names of files and, where those leave it open, by names of tensors;
// a folder that fits several is an error that lists them. Nothing is assumed in silence: what was
// folded, what was taken from the path or from assets/registry.json stands in SaeConfig::folds.
// docs/sae.md has the table of formats, folds and refusals.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/model/config.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct LoadSaeOptions {
  // s of expected_average_only_in: W_enc *= s, W_dec /= s, b_dec /= s.
  std::optional<double> norm_scaling_factor;
  std::string format;        // "": detected
  std::string architecture;  // for files that leave it open (ae.pt without config.json)
  std::string hook;          // site read, for files that do not name it
  std::string hook_out;      // site written: makes it a transcoder where the file does not say
  std::string release;       // row of the registry, "gemma-2b-res-jb/blocks.12.hook_resid_post"
  // Gemma Scope 2's affine_skip_connection A is used as x A, as circuit-tracer 0.5.0 and SAELens
  // 6.54 do; this reads it as x A^T, as SAELens 6.18 to 6.37 did.
  bool transposed_skip = false;
};

// "saelens", "gemma_scope", ... in the order in which they are tried.
std::vector<std::string> sae_format_names();

// The formats that a folder or file may be; one in all usual cases. Throws IoError when there is
// nothing at `path`.
std::vector<std::string> detect_sae_formats(const std::filesystem::path& path);

// Throws IoError (cannot read), DataError (file against itself, NaN, ambiguous, not implemented) or
// ConfigError (options).
Sae load_sae(const std::filesystem::path& path, const LoadSaeOptions& options = {});

// The SAE's width and site against the model, as a reconstruction of the residual stream. Throws
// DataError on a transcoder, a site that is not residual, a layer or width that the model lacks.
void check_fits(const Sae& sae, const ModelConfig& model);

}  // namespace rebound
