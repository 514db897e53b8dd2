#include "rebound/sae/sae_lens_config.h"

#include <algorithm>
#include <array>

#include "rebound/sae/centring.h"

namespace rebound {
namespace {

constexpr const char* kWrittenAsVersion = "6.18.0";
constexpr int64_t kMaxWidth = int64_t{1} << 24;

// The pre-6 layout under the names of today.
Json renamed(const Json& cfg) {
  constexpr std::array<std::array<const char*, 2>, 3> names{
      {{"hook_point", "hook_name"},
       {"hook_point_head_index", "hook_head_index"},
       {"activation_fn_str", "activation_fn"}}};
  Json out = cfg;
  for (const auto& [old_name, name] : names) {
    if (out.contains(old_name) && !out.contains(name)) out[name] = out[old_name];
  }
  return out;
}

template <class T>
T field(const Json& cfg, const char* name, T fallback) {
  if (!cfg.contains(name) || cfg.at(name).is_null()) return fallback;
  try {
    return cfg.at(name).get<T>();
  } catch (const Json::exception&) {
    throw DataError(concat(name, ": got ", cfg.at(name).dump().substr(0, 80), ", wrong type"));
  }
}

int64_t width(const Json& cfg, const char* name) {
  const int64_t value = field<int64_t>(cfg, name, 0);
  require<DataError>(
      value > 0 && value <= kMaxWidth, name, ": got ", value, ", expected 1..", kMaxWidth);
  return value;
}

std::string normalization(const Json& cfg) {
  if (cfg.contains("normalize_activations") && cfg.at("normalize_activations").is_boolean()) {
    return cfg.at("normalize_activations").get<bool>() ? "expected_average_only_in" : "none";
  }
  return field<std::string>(cfg, "normalize_activations", "none");
}

struct Architecture {
  const char* name;
  SaeKind kind;
  bool is_transcoder;
};

// The last two are how training checkpoints call what is saved as jumprelu.
constexpr std::array<Architecture, 11> kArchitectures{
    {{"standard", SaeKind::kStandard, false},
     {"gated", SaeKind::kJumpRelu, false},
     {"jumprelu", SaeKind::kJumpRelu, false},
     {"topk", SaeKind::kTopK, false},
     {"abstopk", SaeKind::kAbsTopK, false},
     {"transcoder", SaeKind::kStandard, true},
     {"skip_transcoder", SaeKind::kStandard, true},
     {"jumprelu_transcoder", SaeKind::kJumpRelu, true},
     {"jumprelu_skip_transcoder", SaeKind::kJumpRelu, true},
     {"batchtopk", SaeKind::kJumpRelu, false},
     {"matryoshka_batchtopk", SaeKind::kJumpRelu, false}}};

const Architecture& architecture_named(const std::string& name) {
  std::string known;
  for (const Architecture& row : kArchitectures) {
    if (name == row.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw DataError(concat(
      "architecture: got \"", name, "\", which is not implemented; expected one of: ", known));
}

void take_legacy_activation(const Json& cfg, SaeLensConfig& out) {
  const std::string activation = field<std::string>(cfg, "activation_fn", "relu");
  const bool is_topk = activation == "topk" || out.architecture == "topk";
  if (!is_topk && (activation == "relu" || out.architecture != "standard")) return;
  require<DataError>(is_topk, "activation_fn: got \"", activation, "\", expected relu or topk");
  require<DataError>(out.architecture == "standard" || out.architecture == "topk",
                     "activation_fn: got \"topk\" for architecture ",
                     out.architecture,
                     ", expected it with standard or topk");
  out.architecture = "topk";
  const Json kwargs = field<Json>(cfg, "activation_fn_kwargs", Json::object());
  out.sae.k = field<int64_t>(kwargs, "k", out.sae.k);
}

Json with_legacy_metadata(const Json& cfg) {
  Json metadata = field<Json>(cfg, "metadata", Json::object());
  require<DataError>(metadata.is_object(), "metadata: expected an object");
  for (const char* name : {"model_name",
                           "hook_name",
                           "hook_name_out",
                           "hook_layer",
                           "context_size",
                           "prepend_bos",
                           "dataset_path",
                           "model_from_pretrained_kwargs"}) {
    if (!metadata.contains(name) && cfg.contains(name)) metadata[name] = cfg.at(name);
  }
  return metadata;
}

SaeLensConfig parse(const Json& cfg) {
  SaeLensConfig out;
  out.architecture = field<std::string>(cfg, "architecture", "standard");
  out.sae.k = field<int64_t>(cfg, "k", 0);
  take_legacy_activation(cfg, out);
  out.normalize_activations = normalization(cfg);
  out.rescale_acts_by_decoder_norm = field<bool>(cfg, "rescale_acts_by_decoder_norm", false);
  out.finetuning_scaling_factor = field<bool>(cfg, "finetuning_scaling_factor", false);
  if (cfg.contains("norm_scaling_factor") && cfg.at("norm_scaling_factor").is_number()) {
    out.norm_scaling_factor = cfg.at("norm_scaling_factor").get<double>();
  }
  const Architecture& architecture = architecture_named(out.architecture);
  out.sae.kind = architecture.kind;
  out.sae.is_transcoder = architecture.is_transcoder;
  out.sae.architecture = out.architecture;
  out.sae.norm = sae_lens_norm(out.normalize_activations);
  out.sae.d_in = width(cfg, "d_in");
  out.sae.d_sae = width(cfg, "d_sae");
  out.sae.d_out = out.sae.is_transcoder ? width(cfg, "d_out") : out.sae.d_in;
  out.sae.apply_b_dec_to_input = field<bool>(cfg, "apply_b_dec_to_input", !out.sae.is_transcoder);
  out.sae.metadata = with_legacy_metadata(cfg);
  out.sae.hook_name = field<std::string>(out.sae.metadata, "hook_name", "");
  out.sae.hook_name_out = field<std::string>(out.sae.metadata, "hook_name_out", "");
  out.sae.model_name = field<std::string>(out.sae.metadata, "model_name", "");
  return out;
}

}  // namespace

SaeNorm sae_lens_norm(const std::string& name) {
  if (name == "none" || name == "expected_average_only_in") return SaeNorm::kNone;
  if (name == "constant_norm_rescale") return SaeNorm::kConstantNormRescale;
  if (name == "layer_norm") return SaeNorm::kLayerNorm;
  throw DataError(concat("normalize_activations: got \"",
                         name,
                         "\", which is not implemented; expected none, expected_average_only_in, "
                         "constant_norm_rescale or layer_norm"));
}

SaeLensConfig parse_sae_lens_config(const Json& cfg, const std::string& where) {
  return with_context(where, [&] {
    require<DataError>(cfg.is_object(), "expected a JSON object");
    return parse(renamed(cfg));
  });
}

namespace {

std::string sae_lens_architecture(const SaeConfig& config, bool has_skip) {
  const std::string kind = to_string(config.kind);
  if (config.is_transcoder) {
    require<DataError>(config.kind == SaeKind::kStandard || config.kind == SaeKind::kJumpRelu,
                       "save_sae: SAELens has no transcoder with ",
                       kind);
    const std::string rule = config.kind == SaeKind::kJumpRelu ? "jumprelu_" : "";
    return rule + (has_skip ? "skip_transcoder" : "transcoder");
  }
  require<DataError>(!has_skip, "save_sae: SAELens has a skip for transcoders only");
  require<DataError>(config.kind != SaeKind::kSignedTopK && config.kind != SaeKind::kGroupMax,
                     "save_sae: SAELens has no ",
                     kind);
  return kind;
}

}  // namespace

Json sae_lens_config_json(const SaeConfig& config, bool has_skip, bool float16) {
  Json metadata = config.metadata;
  metadata["sae_lens_version"] = kWrittenAsVersion;
  metadata["hook_name"] = config.hook_name;
  metadata["model_name"] = config.model_name;
  if (is_of_centred_model(config)) record_centring(metadata);
  Json cfg = {{"architecture", sae_lens_architecture(config, has_skip)},
              {"d_in", config.d_in},
              {"d_sae", config.d_sae},
              {"dtype", float16 ? "float16" : "float32"},
              {"device", "cpu"},
              {"apply_b_dec_to_input", config.apply_b_dec_to_input},
              {"normalize_activations", to_string(config.norm)},
              {"reshape_activations", "none"}};
  if (config.kind == SaeKind::kTopK || config.kind == SaeKind::kAbsTopK) {
    cfg["k"] = config.k;
    cfg["rescale_acts_by_decoder_norm"] = false;
  }
  if (config.is_transcoder) {
    cfg["d_out"] = config.d_out;
    metadata["hook_name_out"] = config.hook_name_out;
  }
  cfg["metadata"] = metadata;
  return cfg;
}

}  // namespace rebound
