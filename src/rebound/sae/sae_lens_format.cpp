#include "rebound/sae/sae_lens_format.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>

#include "rebound/base/file.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"
#include "rebound/model/site.h"
#include "rebound/sae/sae_lens_config.h"

namespace rebound {
namespace {

at::Tensor widened(const TensorView& view) {
  at::Tensor out = at::empty(view.shape, at::kFloat);
  to_float32(view, out.data_ptr<float>());
  return out;
}

class WeightReader {
 public:
  WeightReader(const SafetensorsFile& file, const SaeLensConfig& cfg) : file_(file), cfg_(cfg) {}

  SaeWeights read() const {
    const int64_t d_in = cfg_.sae.d_in;
    const int64_t d_sae = cfg_.sae.d_sae;
    SaeWeights w;
    w.W_enc = tensor("W_enc", {d_in, d_sae});
    w.W_dec = tensor("W_dec", {d_sae, d_in});
    w.b_dec = tensor("b_dec", {d_in});
    if (cfg_.architecture == "gated") {
      add_gate(w);
    } else {
      w.b_enc = latents("b_enc");
      if (cfg_.sae.kind == SaeKind::kJumpRelu) w.threshold = threshold();
    }
    return w;
  }

  // Legacy key; it changes codes unless all ones.
  void refuse_scaling_factor() const {
    if (!file_.find("scaling_factor")) return;
    const bool is_one = latents("scaling_factor").eq(1).all().item<bool>();
    require<DataError>(is_one,
                       "scaling_factor: got values other than 1, which are not implemented");
  }

 private:
  at::Tensor tensor(const char* name, Shape shape) const { return widened(file_.get(name, shape)); }
  at::Tensor latents(const char* name) const { return tensor(name, {cfg_.sae.d_sae}); }

  at::Tensor threshold() const {
    if (file_.find("log_threshold")) return latents("log_threshold").exp();
    return latents("threshold");
  }

  void add_gate(SaeWeights& w) const {
    const at::Tensor gain = latents("r_mag").exp();
    w.b_enc = latents("b_mag");
    w.threshold = (w.b_enc - latents("b_gate") * gain).clamp_min(0);
    w.W_enc = w.W_enc * gain;
  }

  const SafetensorsFile& file_;
  const SaeLensConfig& cfg_;
};

void fold_decoder_norm(SaeWeights& w) {
  const at::Tensor norm = w.W_dec.norm(2, {1}).clamp_min(1e-8);
  w.W_enc = w.W_enc * norm;
  w.b_enc = w.b_enc * norm;
  w.W_dec = w.W_dec / norm.unsqueeze(1);
}

std::optional<double> factor_beside(const std::filesystem::path& folder) {
  const auto path = folder / "activation_scaler.json";
  if (!std::filesystem::exists(path)) return {};
  const Json json = read_json_file(path);
  if (!json.is_object() || !json.contains("scaling_factor")) return {};
  if (!json.at("scaling_factor").is_number()) return {};
  return json.at("scaling_factor").get<double>();
}

void fold_average(SaeWeights& w, std::optional<double> factor) {
  require<DataError>(
      factor.has_value(),
      "normalize_activations is expected_average_only_in and its factor is not in "
      "the files; give norm_scaling_factor (SAELens keeps it in pretrained_saes.yaml)");
  require<DataError>(std::isfinite(*factor) && *factor > 0,
                     "norm_scaling_factor: got ",
                     *factor,
                     ", expected a number > 0");
  w.W_enc = w.W_enc * *factor;
  w.W_dec = w.W_dec / *factor;
  w.b_dec = w.b_dec / *factor;
}

Json read_cfg(const std::filesystem::path& path) {
  const std::string text = read_text_file(path);
  try {
    return parse_json(text, path.string());
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

Sae load(const std::filesystem::path& folder, const LoadSaeOptions& options) {
  const SaeLensConfig cfg = parse_sae_lens_config(read_cfg(folder / "cfg.json"), "cfg.json");
  const SafetensorsFile file(folder / "sae_weights.safetensors");
  const WeightReader reader(file, cfg);
  reader.refuse_scaling_factor();
  SaeWeights weights = reader.read();
  if (cfg.rescale_acts_by_decoder_norm && cfg.sae.kind == SaeKind::kTopK)
    fold_decoder_norm(weights);
  if (cfg.normalize_activations == "expected_average_only_in") {
    std::optional<double> factor = options.norm_scaling_factor;
    if (!factor) factor = cfg.norm_scaling_factor;
    if (!factor) factor = factor_beside(folder);
    fold_average(weights, factor);
  }
  return Sae(cfg.sae, std::move(weights));
}

TensorView view_of(const char* name, const at::Tensor& tensor) {
  return {.name = name,
          .dtype = tensor.scalar_type() == at::kHalf ? DType::kF16 : DType::kF32,
          .shape = tensor.sizes().vec(),
          .data = static_cast<const std::byte*>(tensor.data_ptr()),
          .bytes = tensor.nbytes()};
}

}  // namespace

Sae load_sae(const std::filesystem::path& folder, const LoadSaeOptions& options) {
  return with_context(concat("SAE ", folder.string()), [&] { return load(folder, options); });
}

void save_sae(const Sae& sae, const std::filesystem::path& folder, SaveDType dtype) {
  const bool half = dtype == SaveDType::kFloat16;
  const auto stored = [&](const at::Tensor& t) {
    const at::Tensor out = t.to(at::kCPU, half ? at::kHalf : at::kFloat).contiguous();
    require<DataError>(at::isfinite(out).all().item<bool>(),
                       "save_sae: a weight does not fit float16, save as float32");
    return out;
  };
  const SaeWeights& w = sae.weights();
  const std::array<at::Tensor, 5> tensors = {
      stored(w.W_enc), stored(w.b_enc), stored(w.W_dec), stored(w.b_dec), stored(w.threshold)};
  std::vector<TensorView> views = {view_of("W_enc", tensors[0]),
                                   view_of("b_enc", tensors[1]),
                                   view_of("W_dec", tensors[2]),
                                   view_of("b_dec", tensors[3])};
  if (sae.config().kind == SaeKind::kJumpRelu) views.push_back(view_of("threshold", tensors[4]));
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot create the folder: ", failure.message());
  write_safetensors(folder / "sae_weights.safetensors", views);
  write_file_atomically(folder / "cfg.json",
                        sae_lens_config_json(sae.config(), half).dump(2) + "\n");
}

void check_fits(const Sae& sae, const ModelConfig& model) {
  const std::string& hook = sae.config().hook_name;
  require<DataError>(!hook.empty(), "SAE: cfg.json names no hook_name");
  Site site;
  try {
    site = parse_site(hook);
  } catch (const ConfigError& e) {
    throw DataError(concat("SAE hook_name: ", e.what()));
  }
  require<DataError>(is_residual(site),
                     "SAE hook_name: got ",
                     hook,
                     ", expected a residual site such as blocks.12.hook_resid_pre");
  require<DataError>(site.layer >= 0 && site.layer < model.num_hidden_layers,
                     "SAE hook_name: got ",
                     hook,
                     ", but the model has layers 0..",
                     model.num_hidden_layers - 1);
  require<DataError>(sae.d_in() == model.hidden_size,
                     "SAE d_in: got ",
                     sae.d_in(),
                     ", expected the model's d_model=",
                     model.hidden_size);
}

}  // namespace rebound
