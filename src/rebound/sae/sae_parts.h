// A file's tensors on their way to an Sae: every change of them is one function that also records
// what it did.
#pragma once

#include <string>

#include "rebound/sae/load_sae.h"
#include "rebound/sae/sae_source.h"

namespace rebound {

struct SaeParts {
  SaeConfig config;
  SaeWeights weights;

  void note(const std::string& name, const std::string& detail, std::optional<double> value = {});
};

// x goes in raw, codes keep their unit: W_enc *= s, W_dec /= s, b_dec /= s, and W_skip (which
// starts from the scaled input and ends in the scaled output) stays. `source` says where s is from.
void fold_scale(SaeParts& parts, double s, const std::string& source);

// Decoder rows of norm 1: W_dec /= |d_j|; W_enc, b_enc *= |d_j|; threshold too unless it is given
// in the space of p |d_j| already. Codes are then in units of the output.
void fold_decoder_norm(SaeParts& parts, bool is_threshold_in_normed_space);

// Gated to JumpReLU: W_enc e^r_mag, b_mag, threshold max(0, b_mag - b_gate e^r_mag).
void fold_gate(SaeParts& parts,
               const at::Tensor& r_mag,
               const at::Tensor& b_gate,
               const at::Tensor& b_mag);

// The same threshold for every latent.
void set_threshold(SaeParts& parts, double threshold, const std::string& source);

// Records of what every format leaves to its user: input bias, error term, sites.
void note_use(SaeParts& parts);

// A field of a file's JSON; DataError on another type.
template <class T>
T json_field(const Json& json, const char* name, T fallback) {
  if (!json.is_object() || !json.contains(name) || json.at(name).is_null()) return fallback;
  try {
    return json.at(name).get<T>();
  } catch (const Json::exception&) {
    throw DataError(concat(name, ": got ", json.at(name).dump().substr(0, 80), ", wrong type"));
  }
}

// A safetensors file of float32 or float16 tensors; creates the folder. Each appears whole or not.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};
void write_tensors(const std::filesystem::path& path, std::vector<NamedTensor> tensors);

// 1..2^24, else DataError.
int64_t checked_width(int64_t value, const char* name);

// Width of a tensor's axis, DataError when it has fewer axes.
int64_t axis_size(const TensorTable& table, const std::string& name, size_t axis);

}  // namespace rebound
