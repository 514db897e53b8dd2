// circuit-tracer: per-layer transcoders (layer_i.safetensors, W_enc [d_sae, d_model]) and
// cross-layer ones (W_enc_i.safetensors, W_dec_i.safetensors), with config.yaml beside them.
#include <ATen/ATen.h>

#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_formats.h"

namespace rebound {
namespace {

constexpr const char* kConfig = "config.yaml";
constexpr const char* kSuffix = ".safetensors";
constexpr const char* kThreshold = "activation_function.threshold";

std::vector<std::string> layer_files(const SaeSource& source, const std::string& prefix) {
  std::vector<std::string> found;
  for (const std::string& name : source.names_like(prefix, kSuffix)) {
    if (number_after(prefix, name)) found.push_back(name);
  }
  return found;
}

void take_site(SaeParts& parts, const SaeSource& source, int64_t layer) {
  SaeConfig& config = parts.config;
  config.model_name = source.yaml(kConfig, "model_name");
  const std::string in = source.yaml(kConfig, "feature_input_hook");
  const std::string out = source.yaml(kConfig, "feature_output_hook");
  if (!in.empty()) config.hook_name = concat("blocks.", layer, ".", in);
  if (!out.empty()) config.hook_name_out = concat("blocks.", layer, ".", out);
  parts.note("position", "circuit-tracer zeroes the codes of position 0; this does not");
}

// Its JumpReLU has no ReLU behind it: a negative threshold would let negative codes through.
void set_jump(SaeParts& parts, const at::Tensor& threshold) {
  require<DataError>((threshold >= 0).all().item<bool>(),
                     kThreshold,
                     ": got a negative threshold, which would give negative codes");
  parts.config.kind = SaeKind::kJumpRelu;
  parts.weights.threshold = threshold;
}

void read_rule(SaeParts& parts, const SaeSource& source, const TensorTable& table) {
  SaeConfig& config = parts.config;
  require<DataError>(!table.find("log_thresholds"),
                     "log_thresholds: is not implemented, as in circuit-tracer; expected ",
                     kThreshold);
  const std::string activation = source.yaml(kConfig, "activation");
  if (table.find(kThreshold)) {
    set_jump(parts, widened(table, kThreshold, {config.d_sae}));
    config.architecture = "jump_relu";
  } else if (activation == "topk" || activation == "TopK") {
    const std::string k = source.yaml(kConfig, "k");
    config.kind = SaeKind::kSignedTopK;
    config.k = number_after("=", "=" + k).value_or(0);
    config.architecture = "topk";
    parts.note("topk", "without ReLU: codes may be negative", static_cast<double>(config.k));
  } else {
    require<DataError>(activation.empty() || activation == "relu" || activation == "ReLU",
                       "activation: got \"",
                       activation,
                       "\", expected relu or topk");
    config.architecture = "relu";
  }
}

}  // namespace

bool is_circuit_tracer(const SaeSource& source) {
  const std::vector<std::string> files = layer_files(source, "layer_");
  return !files.empty() && source.table(files.front()).find("W_enc") != nullptr;
}

SaeParts read_circuit_tracer(const SaeSource& source, const LoadSaeOptions&) {
  const std::string name = one_of_set(source, layer_files(source, "layer_"));
  const TensorTable& table = source.table(name);
  SaeParts parts;
  SaeConfig& config = parts.config;
  config.is_transcoder = true;
  config.apply_b_dec_to_input = false;
  read_weights(parts,
               table,
               {.W_enc = "W_enc",
                .b_enc = "b_enc",
                .W_dec = "W_dec",
                .b_dec = "b_dec",
                .W_enc_is_transposed = true});
  read_rule(parts, source, table);
  if (table.find("W_skip")) {
    parts.weights.W_skip = widened(table, "W_skip", {config.d_out, config.d_in});
  }
  if (const auto layer = number_after("layer_", name)) take_site(parts, source, *layer);
  return parts;
}

bool is_circuit_tracer_clt(const SaeSource& source) {
  const std::vector<std::string> files = layer_files(source, "W_enc_");
  if (files.empty()) return false;
  return source.table(files.front())
             .find(concat("W_enc_", *number_after("W_enc_", files.front()))) != nullptr;
}

// W_dec_i [d_sae, n_layers - i, d_model] writes to layers i, i + 1, ...
SaeParts read_circuit_tracer_clt(const SaeSource& source, const LoadSaeOptions&) {
  const std::string name = one_of_set(source, layer_files(source, "W_enc_"));
  const std::optional<int64_t> layer = number_after("W_enc_", name);
  require<DataError>(layer.has_value(), name, ": expected W_enc_N.safetensors");
  const auto of_layer = [&](const char* part) { return concat(part, "_", *layer); };
  const TensorTable& encoder = source.table(name);
  const TensorTable& decoder = source.table(of_layer("W_dec") + kSuffix);
  SaeParts parts;
  SaeConfig& config = parts.config;
  SaeWeights& w = parts.weights;
  config.is_transcoder = true;
  config.apply_b_dec_to_input = false;
  config.architecture = "cross_layer_transcoder";
  config.d_sae = axis_size(encoder, of_layer("W_enc"), 0);
  config.d_in = axis_size(encoder, of_layer("W_enc"), 1);
  const int64_t targets = axis_size(decoder, of_layer("W_dec"), 1);
  config.d_out = targets * config.d_in;
  w.W_enc = widened(encoder, of_layer("W_enc"), {config.d_sae, config.d_in}).t();
  w.b_enc = widened(encoder, of_layer("b_enc"), {config.d_sae});
  w.W_dec = widened(decoder, of_layer("W_dec"), {config.d_sae, targets, config.d_in})
                .reshape({config.d_sae, config.d_out});
  const at::Tensor own = widened(encoder, of_layer("b_dec"), {config.d_in});
  w.b_dec = at::cat({own, at::zeros({(targets - 1) * config.d_in})});
  if (encoder.find(of_layer("threshold"))) {
    set_jump(parts, widened(encoder.get(of_layer("threshold"))).reshape({-1}));
  }
  require<DataError>(!encoder.find(of_layer("W_skip")), "W_skip of a CLT is not implemented");
  parts.note("cross_layer",
             concat("output: what layer ",
                    *layer,
                    " writes to layers ",
                    *layer,
                    "..",
                    *layer + targets - 1,
                    ", [",
                    config.d_in,
                    "] each, one after the other; b_dec of its own layer only"));
  take_site(parts, source, *layer);
  return parts;
}

}  // namespace rebound
