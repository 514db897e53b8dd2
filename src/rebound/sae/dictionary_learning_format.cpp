// dictionary_learning: trainer_i/ae.pt (a state_dict) + config.json; also checkpoints/ae_STEP.pt.
#include <ATen/ATen.h>

#include <array>

#include "rebound/sae/sae_formats.h"

namespace rebound {
namespace {

// A periodic backup has the same file name and another schema: the state_dict under "ae", biases
// still in the unit of normalised activations, norm_factor beside it.
constexpr const char* kBackupPrefix = "ae.";

std::string weights_name(const SaeSource& source) {
  return source.is_one_file() ? source.names().front() : "ae.pt";
}

class StateDict {
 public:
  explicit StateDict(const TorchFile& file) : file_(file) {
    const bool is_plain = has("encoder.weight") || has("W_enc");
    if (!is_plain && file.numbers().count("step") > 0) prefix_ = kBackupPrefix;
  }
  bool is_backup() const { return !prefix_.empty(); }
  bool has(const std::string& name) const { return file_.find(prefix_ + name) != nullptr; }
  std::string key(const std::string& name) const { return prefix_ + name; }
  const TensorTable& table() const { return file_; }
  at::Tensor get(const std::string& name) const { return widened(file_.get(prefix_ + name)); }
  at::Tensor get(const std::string& name, const Shape& shape) const {
    return widened(file_, prefix_ + name, shape);
  }

 private:
  const TorchFile& file_;
  std::string prefix_;
};

struct Class {
  const char* name;
  bool has_linear_layers;  // encoder.weight [F, d], decoder.weight [d, F]; else W_enc [d, F]
  const char* b_dec;
  bool subtracts_b_dec;
};

constexpr std::array<Class, 7> kClasses{{{"AutoEncoder", true, "bias", true},
                                         {"AutoEncoderNew", true, "decoder.bias", false},
                                         {"GatedAutoEncoder", true, "decoder_bias", true},
                                         {"JumpReluAutoEncoder", false, "b_dec", false},
                                         {"AutoEncoderTopK", true, "b_dec", true},
                                         {"BatchTopKSAE", true, "b_dec", true},
                                         {"MatryoshkaBatchTopKSAE", false, "b_dec", true}}};

const Class& class_named(const std::string& name) {
  std::string known;
  for (const Class& row : kClasses) {
    if (name == row.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw DataError(concat("dict_class: got \"", name, "\", expected one of: ", known));
}

// Only where config.json is missing; AutoEncoderTopK and BatchTopKSAE have the same keys.
std::string class_from_keys(const StateDict& state) {
  if (state.has("decoder_bias")) return "GatedAutoEncoder";
  if (state.has("group_sizes")) return "MatryoshkaBatchTopKSAE";
  if (state.has("W_enc")) return "JumpReluAutoEncoder";
  if (state.has("bias")) return "AutoEncoder";
  if (state.has("decoder.bias")) return "AutoEncoderNew";
  throw DataError(
      "without config.json this file may be of AutoEncoderTopK or BatchTopKSAE; name one with "
      "--architecture");
}

// {"trainer": {...}, "buffer": {...}}
Json run_of(const SaeSource& source) {
  for (const char* name : {"config.json", "../config.json"}) {
    if (!source.has(name)) continue;
    const Json& json = source.json(name);
    if (json.is_object() && json.contains("trainer") && json.at("trainer").is_object()) return json;
  }
  return {{"trainer", Json::object()}};
}

// Which side of its submodule the buffer took.
bool reads_input(const Json& run) {
  const Json buffer = json_field<Json>(run, "buffer", Json::object());
  const std::string io = json_field<std::string>(buffer, "io", "out");
  require<DataError>(io == "in" || io == "out",
                     "buffer.io: got \"",
                     io,
                     "\", which is not implemented; expected in or out",
                     io == "in_and_out" ? " (in_and_out makes a transcoder)" : "");
  return io == "in";
}

void take_site(SaeParts& parts, const Json& trainer, bool is_input) {
  SaeConfig& config = parts.config;
  config.model_name = json_field<std::string>(trainer, "lm_name", "");
  const std::string submodule = json_field<std::string>(trainer, "submodule_name", "");
  const int64_t layer = json_field<int64_t>(trainer, "layer", -1);
  config.metadata["submodule_name"] = submodule;
  if (layer < 0) return;
  const auto has = [&](const char* part) { return submodule.find(part) != std::string::npos; };
  const std::string side = is_input ? "input" : "output";
  if (is_input && has("att")) {
    parts.note("site", "the input of " + submodule + ", which has no hook");
    return;
  }
  const char* kind = has("mlp")   ? (is_input ? "mlp.hook_in" : "hook_mlp_out")
                     : has("att") ? "hook_attn_out"
                     : is_input   ? "hook_resid_pre"
                                  : "hook_resid_post";
  config.hook_name = concat("blocks.", layer, ".", kind);
  parts.note("site",
             submodule.empty()
                 ? "layer of the trainer, taken as its " + side + " (buffer.io)"
                 : "layer of the trainer, " + side + " of its submodule " + submodule);
}

void read_gated(SaeParts& parts, const StateDict& state) {
  const Shape latents = {parts.config.d_sae};
  fold_gate(parts,
            state.get("r_mag", latents),
            state.get("gate_bias", latents),
            state.get("mag_bias", latents));
}

void read_tensors(SaeParts& parts, const StateDict& state, const Class& kind) {
  SaeConfig& config = parts.config;
  const bool linear = kind.has_linear_layers;
  const std::string W_enc = linear ? "encoder.weight" : "W_enc";
  const std::string W_dec = linear ? "decoder.weight" : "W_dec";
  config.d_sae = axis_size(state.table(), state.key(W_enc), linear ? 0 : 1);
  config.d_in = axis_size(state.table(), state.key(W_enc), linear ? 1 : 0);
  SaeWeights& w = parts.weights;
  w.W_enc = linear ? state.get(W_enc, {config.d_sae, config.d_in}).t()
                   : state.get(W_enc, {config.d_in, config.d_sae});
  w.W_dec = linear ? state.get(W_dec, {config.d_in, config.d_sae}).t()
                   : state.get(W_dec, {config.d_sae, config.d_in});
  w.b_dec = state.get(kind.b_dec, {config.d_in});
  if (config.architecture == "GatedAutoEncoder") return read_gated(parts, state);
  w.b_enc = state.get(linear ? "encoder.bias" : "b_enc", {config.d_sae});
}

void read_rule(SaeParts& parts, const StateDict& state, const Json& trainer) {
  SaeConfig& config = parts.config;
  const std::string& kind = config.architecture;
  if (kind == "AutoEncoder") {
    fold_decoder_norm(parts, false);  // as its from_pretrained does
  } else if (kind == "JumpReluAutoEncoder") {
    config.kind = SaeKind::kJumpRelu;
    parts.weights.threshold = state.get("threshold", {config.d_sae});
  } else if (kind == "AutoEncoderTopK") {
    config.kind = SaeKind::kTopK;
    config.k = state.get("k", {}).item<int64_t>();
    const int64_t declared = json_field<int64_t>(trainer, "k", config.k);
    require<DataError>(
        declared == config.k, "k: got ", config.k, " in the weights, config.json says ", declared);
  } else if (kind == "BatchTopKSAE" || kind == "MatryoshkaBatchTopKSAE") {
    set_threshold(parts, state.get("threshold", {}).item<double>(), "training (use_threshold)");
  }
}

void scale_biases(SaeParts& parts, const TorchFile& file) {
  const auto found = file.numbers().find("norm_factor");
  const double factor = found == file.numbers().end() ? 1 : found->second;
  SaeWeights& w = parts.weights;
  w.b_enc = w.b_enc * factor;
  w.b_dec = w.b_dec * factor;
  if (w.threshold.defined()) w.threshold = w.threshold * factor;
  parts.note("bias_scale",
             "a backup of training: its biases and threshold are in units of normalised "
             "activations and were multiplied by its norm_factor",
             factor);
}

}  // namespace

bool is_dictionary_learning(const SaeSource& source) {
  if (!source.is_one_file()) return source.has("ae.pt");
  const std::string& name = source.names().front();
  return name.starts_with("ae") && name.ends_with(".pt");
}

SaeParts read_dictionary_learning(const SaeSource& source, const LoadSaeOptions& options) {
  const TorchFile& file = source.torch(weights_name(source));
  const StateDict state(file);
  const Json run = run_of(source);
  const Json& trainer = run.at("trainer");
  SaeParts parts;
  std::string name = json_field<std::string>(trainer, "dict_class", options.architecture);
  if (name.empty()) {
    name = class_from_keys(state);
    parts.note("class", name + ", from the names of the tensors: there is no config.json");
  }
  const Class& kind = class_named(name);
  parts.config.architecture = name;
  parts.config.apply_b_dec_to_input = kind.subtracts_b_dec;
  read_tensors(parts, state, kind);
  read_rule(parts, state, trainer);
  if (state.is_backup()) scale_biases(parts, file);
  take_site(parts, trainer, reads_input(run));
  return parts;
}

}  // namespace rebound
