#include "rebound/sae/sae_lens_format.h"

#include <ATen/ATen.h>

#include <optional>
#include <utility>

#include "rebound/base/file.h"
#include "rebound/sae/centring.h"
#include "rebound/sae/sae_formats.h"
#include "rebound/sae/sae_lens_config.h"
#include "rebound/sae/sae_registry.h"

namespace rebound {
namespace {

constexpr const char* kConfigName = "cfg.json";
constexpr const char* kWeightsName = "sae_weights.safetensors";
constexpr const char* kAverage = "expected_average_only_in";

class WeightReader {
 public:
  WeightReader(const TensorTable& table, const SaeLensConfig& cfg, SaeParts& parts)
      : table_(table), cfg_(cfg), parts_(parts) {}

  void read() {
    refuse_scaling_factor();
    const SaeConfig& config = parts_.config;
    SaeWeights& w = parts_.weights;
    w.W_enc = widened(table_, "W_enc", {config.d_in, config.d_sae});
    w.W_dec = widened(table_, "W_dec", {config.d_sae, config.d_out});
    w.b_dec = widened(table_, "b_dec", {config.d_out});
    if (cfg_.architecture == "gated") {
      fold_gate(parts_, latents("r_mag"), latents("b_gate"), latents("b_mag"));
      return;
    }
    w.b_enc = latents("b_enc");
    if (config.kind == SaeKind::kJumpRelu) read_threshold();
    if (config.is_transcoder && table_.find("W_skip")) {
      w.W_skip = widened(table_, "W_skip", {config.d_out, config.d_in});
    }
    const bool wants_skip = cfg_.architecture.find("skip") != std::string::npos;
    require<DataError>(wants_skip == w.W_skip.defined(),
                       "W_skip: expected for the skip architectures only");
  }

 private:
  at::Tensor latents(const char* name) const {
    return widened(table_, name, {parts_.config.d_sae});
  }

  // Legacy key; it changes codes unless all ones.
  void refuse_scaling_factor() const {
    if (!table_.find("scaling_factor")) return;
    const bool is_one = latents("scaling_factor").eq(1).all().item<bool>();
    require<DataError>(is_one,
                       "scaling_factor: got values other than 1, which are not implemented");
  }

  void read_threshold() {
    if (table_.find("topk_threshold")) {
      const at::Tensor threshold = widened(table_.get("topk_threshold", {}));
      set_threshold(parts_, threshold.item<double>(), "topk_threshold of a training checkpoint");
    } else if (table_.find("log_threshold")) {
      parts_.weights.threshold = latents("log_threshold").exp();
      parts_.note("threshold", "e^log_threshold of a training checkpoint");
    } else {
      parts_.weights.threshold = latents("threshold");
    }
  }

  const TensorTable& table_;
  const SaeLensConfig& cfg_;
  SaeParts& parts_;
};

struct Factor {
  double value;
  std::string source;
};

std::optional<Factor> find_factor(const SaeSource& source,
                                  const LoadSaeOptions& options,
                                  const SaeLensConfig& cfg,
                                  const std::optional<RegistryRow>& row) {
  if (options.norm_scaling_factor) return Factor{*options.norm_scaling_factor, "the caller"};
  if (cfg.norm_scaling_factor) return Factor{*cfg.norm_scaling_factor, kConfigName};
  if (source.has("activation_scaler.json")) {
    const Json& json = source.json("activation_scaler.json");
    const double factor = json_field<double>(json, "scaling_factor", 0);
    if (factor != 0) return Factor{factor, "activation_scaler.json"};
  }
  if (row && row->norm_scaling_factor) {
    return Factor{*row->norm_scaling_factor, "assets/registry.json (" + row->source + ")"};
  }
  return {};
}

void fold_average(SaeParts& parts, const SaeLensConfig& cfg, const std::optional<Factor>& factor) {
  require<DataError>(
      factor.has_value(),
      "normalize_activations is expected_average_only_in and its factor is not in "
      "the files; give norm_scaling_factor (SAELens keeps it in pretrained_saes.yaml)");
  fold_scale(parts, factor->value, factor->source);
  // A batch threshold compares with p |d_j|, and |d_j| has just been divided by s.
  const bool is_batch = cfg.architecture.find("batchtopk") != std::string::npos;
  if (is_batch && cfg.rescale_acts_by_decoder_norm) {
    parts.weights.threshold = parts.weights.threshold / factor->value;
  }
}

void note_centring(SaeParts& parts, const std::string& where) {
  if (!is_of_centred_model(parts.config)) return;
  parts.note(
      "centring",
      "trained on a model with centred writing weights, which is loaded with TransformerLens "
      "processing; from " +
          where);
}

void apply_registry(SaeParts& parts, SaeLensConfig& cfg, const RegistryRow& row) {
  const std::string where = row.release + "/" + row.id + " in assets/registry.json";
  if (!row.normalize_activations.empty() &&
      row.normalize_activations != cfg.normalize_activations) {
    parts.note("norm", row.normalize_activations + " from " + where);
    cfg.normalize_activations = row.normalize_activations;
    parts.config.norm = sae_lens_norm(row.normalize_activations);
  }
  if (row.center_writing_weights) record_centring(parts.config.metadata);
  note_centring(parts, where);
}

}  // namespace

bool is_sae_lens(const SaeSource& source) {
  if (source.has(kWeightsName)) return source.has(kConfigName) || !source.has("config.json");
  return source.has(kConfigName) && !source.has("sae.safetensors") &&
         source.names_like("", ".pt").empty();
}

SaeParts read_sae_lens(const SaeSource& source, const LoadSaeOptions& options) {
  SaeLensConfig cfg = parse_sae_lens_config(source.json(kConfigName), kConfigName);
  const std::optional<RegistryRow> row = find_registry_row(source.path_text(), options.release);
  SaeParts parts{cfg.sae, {}};
  if (row) {
    apply_registry(parts, cfg, *row);
  } else {
    note_centring(parts, kConfigName);
  }
  WeightReader(source.table(kWeightsName), cfg, parts).read();
  if (cfg.normalize_activations == kAverage) {
    fold_average(parts, cfg, find_factor(source, options, cfg, row));
  }
  // A jumprelu file ignores the flag, as SAELens does: its norms were folded when it was saved.
  const bool competes = parts.config.kind != SaeKind::kStandard && cfg.architecture != "jumprelu";
  if (cfg.rescale_acts_by_decoder_norm && competes) fold_decoder_norm(parts, true);
  if (parts.config.norm != SaeNorm::kNone) {
    parts.note("norm",
               to_string(parts.config.norm) + " per token" +
                   (parts.config.is_transcoder ? "" : ", undone on the output"));
  }
  return parts;
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
  const bool has_skip = w.W_skip.defined();
  const Json config = sae_lens_config_json(sae.config(), has_skip, half);
  std::vector<NamedTensor> tensors = {{"W_enc", stored(w.W_enc)},
                                      {"b_enc", stored(w.b_enc)},
                                      {"W_dec", stored(w.W_dec)},
                                      {"b_dec", stored(w.b_dec)}};
  if (sae.config().kind == SaeKind::kJumpRelu) {
    tensors.push_back({"threshold", stored(w.threshold)});
  }
  if (has_skip) tensors.push_back({"W_skip", stored(w.W_skip)});
  write_tensors(folder / kWeightsName, std::move(tensors));
  write_file_atomically(folder / kConfigName, config.dump(2) + "\n");
}

}  // namespace rebound
