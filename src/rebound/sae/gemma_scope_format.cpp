// Gemma Scope 1 (params.npz, no configuration) and 2 (params.safetensors with lower-case names and
// config.json; one file per layer of a cross-layer transcoder).
#include <ATen/ATen.h>

#include <cmath>

#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_formats.h"

namespace rebound {
namespace {

constexpr const char* kEmbedHook = "hook_embed";

std::string params_npz(const SaeSource& source) {
  return source.is_one_file() ? source.names().front() : "params.npz";
}

std::string layer_hook(int64_t layer, const char* kind) {
  return concat("blocks.", layer, ".", kind);
}

struct Release {
  std::string model, kind;  // "gemma-2-2b", "res"
};

// The npz says nothing about its site; the published folders do:
// .../gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82
Release release_of(const std::string& path) {
  for (const char* size : {"2b-it", "9b-it", "27b-it", "2b-pt", "9b-pt", "27b-pt"}) {
    const std::string before = concat("gemma-scope-", size, "-");
    const size_t at = path.find(before);
    if (at == std::string::npos) continue;
    const std::string model = size;
    const size_t kind = at + before.size();
    return {"gemma-2-" + (model.ends_with("-pt") ? model.substr(0, model.size() - 3) : model),
            path.substr(kind, path.find('/', kind) - kind)};
  }
  return {};
}

// A folder above a layer's may have this name by chance.
bool is_of_embeddings(const std::string& path) {
  const size_t at = (path + "/").find("/embedding/");
  return at != std::string::npos && !number_after("/layer_", path.substr(at));
}

void take_site_from_path(SaeParts& parts, const SaeSource& source) {
  SaeConfig& config = parts.config;
  const Release release = release_of(source.path_text());
  config.model_name = release.model;
  const std::optional<int64_t> layer = number_after("/layer_", source.path_text());
  if (is_of_embeddings(source.path_text())) {
    config.hook_name = kEmbedHook;
  } else if (layer && release.kind == "transcoders") {
    config.hook_name = layer_hook(*layer, "ln2.hook_normalized");
    config.hook_name_out = layer_hook(*layer, "hook_mlp_out");
    config.is_transcoder = true;
  } else if (layer && release.kind == "res") {
    config.hook_name = layer_hook(*layer, "hook_resid_post");
  } else if (layer && release.kind == "mlp") {
    config.hook_name = layer_hook(*layer, "hook_mlp_out");
  } else if (layer && release.kind == "att") {
    config.hook_name = layer_hook(*layer, "attn.hook_z");
  }
  if (!config.hook_name.empty()) parts.note("site", "from the folders' names");
}

// Trained on rows of the embedding as they are stored; the hook sees them times sqrt(d_model).
void fold_embedding(SaeParts& parts) {
  const double root = std::sqrt(static_cast<double>(parts.config.d_in));
  parts.weights.W_enc = parts.weights.W_enc / root;
  parts.weights.W_dec = parts.weights.W_dec * root;
  parts.note("embedding", "W_enc /= sqrt(d_in), W_dec *= sqrt(d_in): an SAE of embeddings", root);
}

std::string spelled(const TensorTable& table, const char* upper, const char* lower) {
  return table.find(upper) ? upper : lower;
}

// W_dec [d_sae, n_layers, d_model] writes to the layers from its own on, one after the other.
void read_clt_decoder(SaeParts& parts, const TensorTable& table, std::optional<int64_t> layer) {
  SaeConfig& config = parts.config;
  SaeWeights& w = parts.weights;
  const int64_t layers = axis_size(table, "w_dec", 1);
  const int64_t d_model = axis_size(table, "w_dec", 2);
  require<DataError>(layer.has_value() && *layer < layers,
                     "w_dec: a cross-layer transcoder of ",
                     layers,
                     " layers; expected the file's name to say which (params_layer_3)");
  const at::Tensor all = widened(table, "w_dec", {config.d_sae, layers, d_model});
  const int64_t targets = layers - *layer;
  w.W_dec = all.slice(1, *layer).reshape({config.d_sae, targets * d_model});
  const at::Tensor own = widened(table, "b_dec", {d_model});
  w.b_dec = at::cat({own, at::zeros({(targets - 1) * d_model})});
  config.d_out = targets * d_model;
  parts.note("cross_layer",
             concat("output: what layer ",
                    *layer,
                    " writes to layers ",
                    *layer,
                    "..",
                    layers - 1,
                    " of [",
                    d_model,
                    "], one after the other; b_dec of its own layer only"));
}

void read_skip(SaeParts& parts, const TensorTable& table, bool transposed) {
  if (!table.find("affine_skip_connection")) return;
  const int64_t width = axis_size(table, "b_dec", 0);
  const at::Tensor affine = widened(table, "affine_skip_connection", {parts.config.d_in, width});
  // Of a cross-layer transcoder it writes to the own layer, which comes first.
  const at::Tensor own = transposed ? affine : affine.t();
  const at::Tensor others = at::zeros({parts.config.d_out - width, parts.config.d_in});
  parts.weights.W_skip = at::cat({own, others});
  parts.note("skip_orientation",
             transposed ? "x A^T (the caller's choice; as SAELens 6.18 to 6.37)"
                        : "x A (as circuit-tracer 0.5 and SAELens 6.54)");
}

void take_gemma_2_sites(SaeParts& parts, const Json& json) {
  SaeConfig& config = parts.config;
  config.model_name = json_field<std::string>(json, "model_name", "");
  const std::string in = json_field<std::string>(json, "hf_hook_point_in", "");
  const std::string out = json_field<std::string>(json, "hf_hook_point_out", "");
  ModelFamily family = family_of_model(config.model_name);
  if (family == ModelFamily::kUnknown) family = ModelFamily::kGemma;
  config.hf_module = in;
  config.hook_name = hook_of_hf_module(in, family);
  config.is_transcoder = !out.empty() && out != in;
  if (config.is_transcoder) {
    config.hook_name_out = hook_of_hf_module(out, family);
    parts.note("site", "writes at " + out);
  }
  if (in.ends_with("pre_feedforward_layernorm.output")) {
    parts.note("gain", "the input is taken after the norm's gain");
  }
}

std::string gemma_2_file(const SaeSource& source) {
  if (source.has("params.safetensors") && !source.is_one_file()) return "params.safetensors";
  return source.is_one_file() ? source.names().front() : "";
}

}  // namespace

bool is_gemma_scope(const SaeSource& source) {
  return source.is_one_file() ? source.names().front().ends_with(".npz") : source.has("params.npz");
}

SaeParts read_gemma_scope(const SaeSource& source, const LoadSaeOptions& options) {
  SaeParts parts;
  SaeConfig& config = parts.config;
  const TensorTable& table = source.table(params_npz(source));
  read_weights(parts,
               table,
               {.W_enc = spelled(table, "W_enc", "w_enc"),
                .b_enc = "b_enc",
                .W_dec = spelled(table, "W_dec", "w_dec"),
                .b_dec = "b_dec"});
  config.kind = SaeKind::kJumpRelu;
  config.apply_b_dec_to_input = false;
  parts.weights.threshold = widened(table, "threshold", {config.d_sae});
  take_site_from_path(parts, source);
  if (config.hook_name == kEmbedHook || options.hook == kEmbedHook) fold_embedding(parts);
  return parts;
}

bool is_gemma_scope_2(const SaeSource& source) {
  const std::string name = gemma_2_file(source);
  return name.ends_with(".safetensors") && source.table(name).find("w_enc") != nullptr;
}

SaeParts read_gemma_scope_2(const SaeSource& source, const LoadSaeOptions& options) {
  SaeParts parts;
  SaeConfig& config = parts.config;
  const TensorTable& table = source.table(gemma_2_file(source));
  config.d_in = axis_size(table, "w_enc", 0);
  config.d_sae = axis_size(table, "w_enc", 1);
  config.kind = SaeKind::kJumpRelu;
  config.apply_b_dec_to_input = false;
  if (source.has("config.json")) {
    const Json& json = source.json("config.json");
    const std::string architecture = json_field<std::string>(json, "architecture", "jump_relu");
    require<DataError>(architecture == "jump_relu",
                       "architecture: got \"",
                       architecture,
                       "\", expected jump_relu");
    config.architecture = architecture;
    take_gemma_2_sites(parts, json);
  }
  SaeWeights& w = parts.weights;
  w.W_enc = widened(table, "w_enc", {config.d_in, config.d_sae});
  w.b_enc = widened(table, "b_enc", {config.d_sae});
  w.threshold = widened(table, "threshold", {config.d_sae});
  if (table.get("w_dec").shape.size() == 3) {
    config.is_transcoder = true;
    const std::string name = source.is_one_file() ? source.names().front() : source.folder_name();
    read_clt_decoder(parts, table, number_after("layer_", name));
  } else {
    config.d_out = axis_size(table, "b_dec", 0);
    w.W_dec = widened(table, "w_dec", {config.d_sae, config.d_out});
    w.b_dec = widened(table, "b_dec", {config.d_out});
  }
  read_skip(parts, table, options.transposed_skip);
  return parts;
}

}  // namespace rebound
