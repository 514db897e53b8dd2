// OpenMOSS: Llama Scope (hyperparams.json + checkpoints/final.safetensors), its R1-distill variant
// (config.json + sae_weights.safetensors with encoder.weight) and Llamascopium (W_E).
#include <ATen/ATen.h>

#include <cmath>

#include "rebound/sae/sae_formats.h"
#include "rebound/sae/sae_registry.h"

namespace rebound {
namespace {

constexpr const char* kFinal = "checkpoints/final.safetensors";
constexpr const char* kWeights = "sae_weights.safetensors";
constexpr const char* kTorchWeights = "sae_weights.pt";

WeightNames linear_names() {
  WeightNames names{"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"};
  names.W_enc_is_transposed = names.W_dec_is_transposed = true;
  return names;
}

void refuse_unread(const Json& json) {
  require<DataError>(!json_field<bool>(json, "use_glu_encoder", false),
                     "use_glu_encoder: got true, which is not implemented");
  require<DataError>(json_field<bool>(json, "use_decoder_bias", true),
                     "use_decoder_bias: got false, which is not implemented");
}

void take_sites(SaeParts& parts, const Json& json) {
  SaeConfig& config = parts.config;
  config.hook_name = json_field<std::string>(json, "hook_point_in", "");
  const std::string out = json_field<std::string>(json, "hook_point_out", config.hook_name);
  config.is_transcoder = out != config.hook_name;
  if (config.is_transcoder) config.hook_name_out = out;
}

// relu, jumprelu, topk; the batch kinds are saved as jumprelu.
SaeKind kind_of(const std::string& act_fn) {
  if (act_fn == "relu") return SaeKind::kStandard;
  if (act_fn == "jumprelu") return SaeKind::kJumpRelu;
  if (act_fn == "topk") return SaeKind::kTopK;
  throw DataError(concat(
      "act_fn: got \"", act_fn, "\", which is not implemented; expected relu, jumprelu or topk"));
}

double norm_of(const Json& json, const char* side) {
  const Json norms = json_field<Json>(json, "dataset_average_activation_norm", Json::object());
  const double norm = json_field<double>(norms, side, 0);
  require<DataError>(norm > 0,
                     "dataset_average_activation_norm.",
                     side,
                     ": got ",
                     norm,
                     ", expected a number > 0");
  return norm;
}

// The order of OpenMOSS' own loader, after which raw x goes in: the dataset's scale into biases and
// decoder (encoder weights stay), then decoder rows of norm 1, then the threshold in that space.
void fold_llama_scope(SaeParts& parts, const Json& json) {
  const std::string norm = json_field<std::string>(json, "norm_activation", "dataset-wise");
  SaeWeights& w = parts.weights;
  if (norm == "dataset-wise") {
    const double root = std::sqrt(static_cast<double>(parts.config.d_in));
    const double s_in = root / norm_of(json, "in"), s_out = root / norm_of(json, "out");
    w.b_enc = w.b_enc / s_in;
    w.b_dec = w.b_dec / s_out;
    w.W_dec = w.W_dec * (s_in / s_out);
    parts.note("scale",
               concat("b_enc /= s_in, b_dec /= s_out, W_dec *= s_in / s_out; s = sqrt(d_model) / "
                      "dataset_average_activation_norm, s_out = ",
                      s_out),
               s_in);
  } else {
    require<DataError>(norm == "inference",
                       "norm_activation: got \"",
                       norm,
                       "\", which is not implemented; expected dataset-wise or inference");
  }
  if (json_field<bool>(json, "sparsity_include_decoder_norm", true)) {
    fold_decoder_norm(parts, true);
  }
}

// OpenMOSS's encoder compares p |d_j| with the threshold and gives p: a threshold of p is the same.
void take_log_threshold(SaeParts& parts, const at::Tensor& log_threshold, const Json& json) {
  SaeWeights& w = parts.weights;
  const bool normed = json_field<bool>(json, "sparsity_include_decoder_norm", true);
  w.threshold = log_threshold.exp();
  if (normed) w.threshold = w.threshold / w.W_dec.norm(2, {1}).clamp_min(1e-30);
  parts.note("threshold",
             std::string("e^log_jumprelu_threshold") +
                 (normed ? " / |d_j|: the file has it in the space of p |d_j|" : ""));
}

// x s goes in: W_enc *= s; codes stay in the unit of training, as in SAELens.
void fold_r1_norm(SaeParts& parts,
                  const Json& json,
                  const SaeSource& source,
                  const LoadSaeOptions& options) {
  const std::string norm = json_field<std::string>(json, "norm_activation", "dataset-wise");
  if (norm == "inference") return;
  require<DataError>(norm == "dataset-wise",
                     "norm_activation: got \"",
                     norm,
                     "\", which is not implemented; expected dataset-wise or inference");
  const double root = std::sqrt(static_cast<double>(parts.config.d_in));
  const auto row = find_registry_row(source.path_text(), options.release);
  double s_in = 0;
  if (options.norm_scaling_factor) {
    s_in = *options.norm_scaling_factor;
    fold_scale(parts, s_in, "the caller");
  } else if (row && row->norm_scaling_factor) {
    s_in = *row->norm_scaling_factor;
    fold_scale(parts, s_in, "assets/registry.json (" + row->source + ")");
  } else {
    require<DataError>(json.contains("dataset_average_activation_norm"),
                       "the scale of its input is not in the files; give norm_scaling_factor or "
                       "release");
    s_in = root / norm_of(json, "in");
    fold_scale(parts, s_in, "dataset_average_activation_norm in config.json");
  }
  if (!parts.config.is_transcoder) return;
  const double s_out = root / norm_of(json, "out");
  parts.weights.W_dec = parts.weights.W_dec * (s_in / s_out);
  parts.weights.b_dec = parts.weights.b_dec * (s_in / s_out);
  parts.note("scale", "W_dec, b_dec *= s / s_out: a transcoder's output has its own unit", s_out);
}

}  // namespace

bool is_llama_scope(const SaeSource& source) {
  return source.has("hyperparams.json") && source.has(kFinal);
}

SaeParts read_llama_scope(const SaeSource& source, const LoadSaeOptions&) {
  const Json& json = source.json("hyperparams.json");
  refuse_unread(json);
  SaeParts parts;
  SaeConfig& config = parts.config;
  config.architecture = json_field<std::string>(json, "act_fn", "relu");
  config.kind = kind_of(config.architecture);
  config.k = json_field<int64_t>(json, "top_k", 0);
  take_sites(parts, json);
  config.apply_b_dec_to_input =
      !config.is_transcoder && json_field<bool>(json, "apply_decoder_bias_to_pre_encoder", false);
  read_weights(parts, source.table(kFinal), linear_names());
  fold_llama_scope(parts, json);
  if (config.kind == SaeKind::kJumpRelu) {
    set_threshold(parts,
                  json_field<double>(json, "jump_relu_threshold", 0),
                  "jump_relu_threshold, compared after the folds above (OpenMOSS; SAELens compares "
                  "without the decoder norms)");
  }
  return parts;
}

bool is_llama_scope_r1(const SaeSource& source) {
  return source.has("config.json") && source.has(kWeights) &&
         source.table(kWeights).find("encoder.weight") != nullptr;
}

SaeParts read_llama_scope_r1(const SaeSource& source, const LoadSaeOptions& options) {
  const Json& json = source.json("config.json");
  refuse_unread(json);
  require<DataError>(!json_field<bool>(json, "apply_decoder_bias_to_pre_encoder", false),
                     "apply_decoder_bias_to_pre_encoder: got true, which is not implemented here");
  const TensorTable& table = source.table(kWeights);
  SaeParts parts;
  SaeConfig& config = parts.config;
  config.architecture = json_field<std::string>(json, "act_fn", "jumprelu");
  require<DataError>(config.architecture == "jumprelu",
                     "act_fn: got \"",
                     config.architecture,
                     "\", expected jumprelu");
  config.kind = SaeKind::kJumpRelu;
  config.apply_b_dec_to_input = false;
  take_sites(parts, json);
  read_weights(parts, table, linear_names());
  take_log_threshold(parts, widened(table, "log_jumprelu_threshold", {config.d_sae}), json);
  fold_r1_norm(parts, json, source, options);
  return parts;
}

namespace {

std::string scopium_file(const SaeSource& source) {
  return source.has(kWeights) ? kWeights : kTorchWeights;
}

// In a .pt file the state_dict stands under "sae".
std::string scopium_key(const SaeSource& source, const std::string& name) {
  return (source.has(kWeights) ? "" : "sae.") + name;
}

double scopium_norm(const TensorTable& table, const SaeSource& source, const std::string& hook) {
  const std::string name = scopium_key(source, "dataset_average_activation_norm." + hook);
  const double norm = widened(table, name, {}).item<double>();
  require<DataError>(std::isfinite(norm) && norm > 0, name, ": got ", norm, ", expected > 0");
  return norm;
}

void fold_scopium_norm(SaeParts& parts, const SaeSource& source, const std::string& norm) {
  SaeConfig& config = parts.config;
  SaeWeights& w = parts.weights;
  if (norm == "inference") return;
  if (norm == "token-wise" && !config.is_transcoder) {
    config.norm = SaeNorm::kConstantNormRescale;
    parts.note("norm", "x sqrt(d) / |x| per token, undone on the output");
    return;
  }
  require<DataError>(norm == "dataset-wise",
                     "norm_activation: got \"",
                     norm,
                     "\", which is not implemented here; expected dataset-wise or inference");
  const TensorTable& table = source.table(scopium_file(source));
  const double root = std::sqrt(static_cast<double>(config.d_in));
  const double s_in = root / scopium_norm(table, source, config.hook_name);
  const double s_out =
      config.is_transcoder ? root / scopium_norm(table, source, config.hook_name_out) : s_in;
  w.W_enc = w.W_enc * s_in;
  w.W_dec = w.W_dec / s_out;
  w.b_dec = w.b_dec / s_out;
  parts.note("scale",
             concat("W_enc *= s_in, W_dec and b_dec /= s_out; s = sqrt(d_model) / "
                    "dataset_average_activation_norm, s_out = ",
                    s_out),
             s_in);
}

}  // namespace

bool is_llamascopium(const SaeSource& source) {
  if (!source.has("config.json")) return false;
  if (source.has(kWeights)) return source.table(kWeights).find("W_E") != nullptr;
  return source.has(kTorchWeights) && source.table(kTorchWeights).find("sae.W_E") != nullptr;
}

SaeParts read_llamascopium(const SaeSource& source, const LoadSaeOptions&) {
  const Json& json = source.json("config.json");
  refuse_unread(json);
  const std::string type = json_field<std::string>(json, "sae_type", "sae");
  require<DataError>(type == "sae", "sae_type: got \"", type, "\", which is not implemented");
  const TensorTable& table = source.table(scopium_file(source));
  const auto key = [&](const char* name) { return scopium_key(source, name); };
  SaeParts parts;
  SaeConfig& config = parts.config;
  config.architecture = json_field<std::string>(json, "act_fn", "relu");
  config.kind = kind_of(config.architecture);
  config.k = json_field<int64_t>(json, "top_k", 50);
  config.apply_b_dec_to_input = false;
  take_sites(parts, json);
  read_weights(
      parts,
      table,
      {.W_enc = key("W_E"), .b_enc = key("b_E"), .W_dec = key("W_D"), .b_dec = key("b_D")});
  // The rule sees p |d_j| and the value is divided back: a threshold goes to the space of p. TopK
  // selects there, so its decoder is brought to norm 1 and codes keep the factor |d_j|.
  const bool normed = json_field<bool>(json, "sparsity_include_decoder_norm", true);
  if (config.kind == SaeKind::kTopK && normed) fold_decoder_norm(parts, true);
  if (config.kind == SaeKind::kJumpRelu) {
    const std::string name = key("activation_function.log_jumprelu_threshold");
    take_log_threshold(parts, widened(table, name, {config.d_sae}), json);
  }
  fold_scopium_norm(
      parts, source, json_field<std::string>(json, "norm_activation", "dataset-wise"));
  return parts;
}

}  // namespace rebound
