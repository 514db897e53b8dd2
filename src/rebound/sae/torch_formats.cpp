// Single files of torch.save with little or no configuration: Goodfire, DeepSeek-R1 (qresearch),
// the attention SAEs of Kissane and others (connor_rob), Qwen Scope, and end-to-end SAEs (e2e_sae).
#include <ATen/ATen.h>

#include <algorithm>

#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_formats.h"

namespace rebound {
namespace {

// The path itself, or the only .pt or .pth in the folder; "" otherwise. ae.pt is
// dictionary_learning's, sae_weights.pt Llamascopium's.
std::string lone_torch_file(const SaeSource& source) {
  std::vector<std::string> names = source.names_like("", ".pt");
  for (const std::string& name : source.names_like("", ".pth")) names.push_back(name);
  if (names.size() != 1) return "";
  const std::string& name = names.front();
  return name == "sae_weights.pt" || name.starts_with("ae") ? "" : name;
}

bool has_key(const SaeSource& source, const std::string& key) {
  const std::string name = lone_torch_file(source);
  return !name.empty() && source.torch(name).find(key) != nullptr;
}

std::string side_config(const SaeSource& source) {
  const std::string name = lone_torch_file(source);
  return name.substr(0, name.rfind('.')) + "_cfg.json";
}

std::optional<int64_t> qwen_layer(const SaeSource& source) {
  const std::string name = lone_torch_file(source);
  if (!name.ends_with(".sae.pt")) return {};
  return number_after("layer", name);
}

void take_resid_post(SaeParts& parts, std::optional<int64_t> layer, const std::string& from) {
  if (!layer) return;
  parts.config.hook_name = concat("blocks.", *layer, ".hook_resid_post");
  parts.note("site", "layer from " + from + ", taken as its output (as SAELens does)");
}

WeightNames layer_pair(const std::string& encoder, const std::string& decoder) {
  return {.W_enc = encoder + ".weight",
          .b_enc = encoder + ".bias",
          .W_dec = decoder + ".weight",
          .b_dec = decoder + ".bias",
          .W_enc_is_transposed = true,
          .W_dec_is_transposed = true};
}

SaeParts read_plain(const SaeSource& source, const WeightNames& names) {
  SaeParts parts;
  parts.config.apply_b_dec_to_input = false;
  read_weights(parts, source.torch(one_of_set(source, {lone_torch_file(source)})), names);
  return parts;
}

// "blocks-6-hook_resid_pre.encoder.0.weight" -> "blocks-6-hook_resid_pre"
std::vector<std::string> e2e_positions(const TensorTable& table) {
  constexpr std::string_view kEnd = ".encoder.0.weight";
  std::vector<std::string> positions;
  for (const TensorView& tensor : table.tensors()) {
    if (!tensor.name.ends_with(kEnd)) continue;
    positions.push_back(tensor.name.substr(0, tensor.name.size() - kEnd.size()));
  }
  return positions;
}

std::string hook_of_position(std::string position) {
  std::replace(position.begin(), position.end(), '-', '.');
  return position;
}

std::string e2e_file(const SaeSource& source) {
  if (source.is_one_file()) return lone_torch_file(source);
  const std::vector<std::string> names = source.names_like("samples_", ".pt");
  return names.size() == 1 ? names.front() : "";
}

}  // namespace

bool is_goodfire(const SaeSource& source) { return has_key(source, "encoder_linear.weight"); }

SaeParts read_goodfire(const SaeSource& source, const LoadSaeOptions&) {
  SaeParts parts = read_plain(source, layer_pair("encoder_linear", "decoder_linear"));
  take_resid_post(parts, number_after("-l", lone_torch_file(source)), "the file's name");
  return parts;
}

bool is_deepseek_r1(const SaeSource& source) {
  return has_key(source, "encoder.weight") && has_key(source, "decoder.bias") &&
         !source.has("config.json");
}

SaeParts read_deepseek_r1(const SaeSource& source, const LoadSaeOptions&) {
  SaeParts parts = read_plain(source, layer_pair("encoder", "decoder"));
  take_resid_post(parts, number_after("-l", lone_torch_file(source)), "the file's name");
  return parts;
}

bool is_connor_rob(const SaeSource& source) {
  return has_key(source, "W_enc") && source.has(side_config(source));
}

SaeParts read_connor_rob(const SaeSource& source, const LoadSaeOptions&) {
  const Json& json = source.json(side_config(source));
  SaeParts parts =
      read_plain(source, {.W_enc = "W_enc", .b_enc = "b_enc", .W_dec = "W_dec", .b_dec = "b_dec"});
  SaeConfig& config = parts.config;
  config.apply_b_dec_to_input = true;
  config.hook_name = json_field<std::string>(json, "act_name", "");
  config.model_name = json_field<std::string>(json, "model_name", "");
  const int64_t d_in = json_field<int64_t>(json, "act_size", config.d_in);
  const int64_t d_sae = json_field<int64_t>(json, "dict_size", config.d_sae);
  require<DataError>(d_in == config.d_in && d_sae == config.d_sae,
                     "act_size and dict_size: got ",
                     d_in,
                     " and ",
                     d_sae,
                     ", the weights have ",
                     config.d_in,
                     " and ",
                     config.d_sae);
  if (config.hook_name.ends_with("hook_z")) {
    parts.note("reshape", "the input is hook_z with its heads side by side");
  }
  return parts;
}

bool is_qwen_scope(const SaeSource& source) {
  return qwen_layer(source).has_value() && has_key(source, "W_enc");
}

// k stands in the repository's name alone: .../SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer3.sae.pt
SaeParts read_qwen_scope(const SaeSource& source, const LoadSaeOptions&) {
  SaeParts parts = read_plain(source,
                              {.W_enc = "W_enc",
                               .b_enc = "b_enc",
                               .W_dec = "W_dec",
                               .b_dec = "b_dec",
                               .W_enc_is_transposed = true,
                               .W_dec_is_transposed = true});
  SaeConfig& config = parts.config;
  const std::optional<int64_t> k = number_after("-L0_", source.path_text());
  require<DataError>(k.has_value(),
                     "k is in no file; expected it in the folder's name, as in "
                     "SAE-Res-Qwen3-1.7B-Base-W32K-L0_50");
  config.kind = SaeKind::kTopK;
  config.k = *k;
  parts.note("topk", "k from the folder's name", static_cast<double>(*k));
  const std::string& path = source.path_text();
  const size_t begin = path.find("SAE-Res-"), end = path.find("-W", begin);
  if (begin != std::string::npos && end != std::string::npos) {
    config.model_name = path.substr(begin + 8, end - begin - 8);
  }
  take_resid_post(parts, qwen_layer(source), "the file's name");
  return parts;
}

bool is_e2e_sae(const SaeSource& source) {
  const std::string name = e2e_file(source);
  return !name.empty() && !e2e_positions(source.torch(name)).empty();
}

// The decoder's columns are normalised at every forward pass, so they are folded once here; codes
// keep their unit. One file may hold the SAEs of several sites.
SaeParts read_e2e_sae(const SaeSource& source, const LoadSaeOptions& options) {
  const TorchFile& table = source.torch(one_of_set(source, {e2e_file(source)}));
  const std::vector<std::string> positions = e2e_positions(table);
  std::string position = positions.size() == 1 ? positions.front() : "", hooks;
  for (const std::string& candidate : positions) {
    hooks += (hooks.empty() ? "" : ", ") + hook_of_position(candidate);
    if (hook_of_position(candidate) == options.hook) position = candidate;
  }
  require<DataError>(
      !position.empty(), "holds SAEs of several sites (", hooks, "); name one with --hook");
  SaeParts parts;
  parts.config.apply_b_dec_to_input = false;
  WeightNames names = layer_pair(position + ".encoder.0", position + ".decoder");
  read_weights(parts, table, names);
  at::Tensor& W_dec = parts.weights.W_dec;
  const at::Tensor norm = W_dec.norm(2, {1}).clamp_min(1e-12);
  W_dec = W_dec / norm.unsqueeze(1);
  parts.note("decoder_norm",
             "W_dec /= |d_j|, as its forward pass does; W_enc and codes as they are; value: mean "
             "|d_j|",
             norm.mean().item<double>());
  parts.config.hook_name = hook_of_position(position);
  parts.config.model_name = source.yaml("final_config.yaml", "tlens_model_name");
  return parts;
}

}  // namespace rebound
