#include "rebound/sae/sae_parts.h"

#include <ATen/ATen.h>

#include <cmath>

#include "rebound/io/safetensors.h"

namespace rebound {

constexpr int64_t kMaxPartWidth = int64_t{1} << 24;

void SaeParts::note(const std::string& name,
                    const std::string& detail,
                    std::optional<double> value) {
  config.folds.push_back({name, detail, value});
}

void fold_scale(SaeParts& parts, double s, const std::string& source) {
  require<DataError>(
      std::isfinite(s) && s > 0, "norm_scaling_factor: got ", s, ", expected a number > 0");
  SaeWeights& w = parts.weights;
  w.W_enc = w.W_enc * s;
  w.W_dec = w.W_dec / s;
  w.b_dec = w.b_dec / s;
  parts.note("scale", concat("W_enc *= s, W_dec /= s, b_dec /= s; s from ", source), s);
}

void fold_decoder_norm(SaeParts& parts, bool is_threshold_in_normed_space) {
  SaeWeights& w = parts.weights;
  const at::Tensor norm = w.W_dec.norm(2, {1}).clamp_min(1e-8);
  w.W_enc = w.W_enc * norm;
  w.b_enc = w.b_enc * norm;
  w.W_dec = w.W_dec / norm.unsqueeze(1);
  const bool has_threshold = w.threshold.defined();
  if (has_threshold && !is_threshold_in_normed_space) w.threshold = w.threshold * norm;
  std::string detail = "W_dec /= |d_j|; W_enc, b_enc *= |d_j|";
  if (has_threshold) {
    detail += is_threshold_in_normed_space ? "; threshold is in that space in the file"
                                           : "; threshold *= |d_j|";
  }
  parts.note("decoder_norm", detail + "; value: mean |d_j|", norm.mean().item<double>());
}

void fold_gate(SaeParts& parts,
               const at::Tensor& r_mag,
               const at::Tensor& b_gate,
               const at::Tensor& b_mag) {
  const at::Tensor gain = r_mag.exp();
  SaeWeights& w = parts.weights;
  w.b_enc = b_mag;
  w.threshold = (b_mag - b_gate * gain).clamp_min(0);
  w.W_enc = w.W_enc * gain;
  parts.config.kind = SaeKind::kJumpRelu;
  parts.note("gate", "W_enc *= e^r_mag, b_enc = b_mag, threshold = max(0, b_mag - b_gate e^r_mag)");
}

void set_threshold(SaeParts& parts, double threshold, const std::string& source) {
  require<DataError>(std::isfinite(threshold) && threshold >= 0,
                     "threshold: got ",
                     threshold,
                     ", expected a number >= 0 (a negative one means that training never set it)");
  parts.config.kind = SaeKind::kJumpRelu;
  parts.weights.threshold = at::full({parts.config.d_sae}, threshold);
  parts.note("threshold", "one for all latents, from " + source, threshold);
}

void note_use(SaeParts& parts) {
  const SaeConfig& config = parts.config;
  parts.note("input_bias",
             config.apply_b_dec_to_input ? "b_dec is subtracted from the input"
                                         : "b_dec is not subtracted from the input");
  if (parts.weights.W_skip.defined()) parts.note("skip", "x W_skip^T is added to the output");
  parts.note("error_term",
             config.is_transcoder ? "none: the output stands for another site"
                                  : "x - x_hat of the unedited codes; edits add it back");
}

void write_tensors(const std::filesystem::path& path, std::vector<NamedTensor> tensors) {
  std::vector<TensorView> views;
  for (NamedTensor& row : tensors) {
    const bool half = row.tensor.scalar_type() == at::kHalf;
    row.tensor = row.tensor.to(at::kCPU, half ? at::kHalf : at::kFloat).contiguous();
    views.push_back({.name = row.name,
                     .dtype = half ? DType::kF16 : DType::kF32,
                     .shape = row.tensor.sizes().vec(),
                     .data = static_cast<const std::byte*>(row.tensor.data_ptr()),
                     .bytes = row.tensor.nbytes()});
  }
  std::error_code failure;
  const std::filesystem::path folder = path.parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot create the folder: ", failure.message());
  write_safetensors(path, views);
}

int64_t checked_width(int64_t value, const char* name) {
  require<DataError>(
      value > 0 && value <= kMaxPartWidth, name, ": got ", value, ", expected 1..", kMaxPartWidth);
  return value;
}

int64_t axis_size(const TensorTable& table, const std::string& name, size_t axis) {
  const TensorView& view = table.get(name);
  require<DataError>(axis < view.shape.size(),
                     quoted_name(name),
                     ": got shape ",
                     shape_text(view.shape),
                     ", expected at least ",
                     axis + 1,
                     " axes");
  return checked_width(view.shape[axis], name.c_str());
}

}  // namespace rebound
