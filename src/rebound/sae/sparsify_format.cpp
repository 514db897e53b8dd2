// sparsify (EleutherAI): a folder per Hugging Face module with cfg.json + sae.safetensors.
#include <ATen/ATen.h>

#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_formats.h"

namespace rebound {
namespace {

constexpr const char* kSparsifyWeights = "sae.safetensors";
constexpr int64_t kDefaultExpansion = 32, kDefaultK = 32;  // SparseCoderConfig's

// "layers.10.mlp": the module whose output it was trained on; as a transcoder, its input to output.
void take_site(SaeParts& parts, const SaeSource& source, bool transcode) {
  SaeConfig& config = parts.config;
  const SaeSource run(source.folder() / "..");
  if (run.has("config.json")) {
    config.model_name = json_field<std::string>(run.json("config.json"), "model", "");
  }
  const ModelFamily family = family_of_model(config.model_name);
  const std::string folder = source.folder_name();
  const std::string read_from = folder + (transcode ? ".input" : ".output");
  config.hook_name = hook_of_hf_module(read_from, family);
  if (transcode) config.hook_name_out = hook_of_hf_module(folder + ".output", family);
  if (!config.hook_name.empty()) parts.note("site", "from the folder's name, the module " + folder);
  config.metadata["hookpoint"] = folder;
}

}  // namespace

bool is_sparsify(const SaeSource& source) {
  return source.has("cfg.json") && source.has(kSparsifyWeights);
}

SaeParts read_sparsify(const SaeSource& source, const LoadSaeOptions&) {
  const Json& cfg = source.json("cfg.json");
  require<DataError>(cfg.is_object(), "cfg.json: expected a JSON object");
  const TensorTable& table = source.table(kSparsifyWeights);
  require<DataError>(!json_field<bool>(cfg, "signed", false),
                     "signed: got true, which is not implemented");
  SaeParts parts;
  SaeConfig& config = parts.config;
  config.architecture = json_field<std::string>(cfg, "activation", "topk");
  require<DataError>(config.architecture == "topk" || config.architecture == "groupmax",
                     "activation: got \"",
                     config.architecture,
                     "\", expected topk or groupmax");
  config.kind = config.architecture == "topk" ? SaeKind::kTopK : SaeKind::kGroupMax;
  config.k = json_field<int64_t>(cfg, "k", kDefaultK);
  const bool transcode = json_field<bool>(cfg, "transcode", false);
  config.is_transcoder = transcode;
  config.apply_b_dec_to_input = !transcode;
  read_weights(parts,
               table,
               {.W_enc = "encoder.weight",
                .b_enc = "encoder.bias",
                .W_dec = "W_dec",
                .b_dec = "b_dec",
                .W_enc_is_transposed = true});
  const int64_t d_in = json_field<int64_t>(cfg, "d_in", config.d_in);
  const int64_t latents = json_field<int64_t>(cfg, "num_latents", 0);
  const int64_t expansion = json_field<int64_t>(cfg, "expansion_factor", kDefaultExpansion);
  require<DataError>(d_in == config.d_in, "d_in: got ", d_in, ", the weights have ", config.d_in);
  const int64_t d_sae = latents > 0 ? latents : d_in * expansion;
  require<DataError>(
      d_sae == config.d_sae, "num_latents: got ", d_sae, ", the weights have ", config.d_sae);
  const bool has_skip = json_field<bool>(cfg, "skip_connection", false);
  require<DataError>(has_skip == (table.find("W_skip") != nullptr),
                     "skip_connection: got ",
                     has_skip,
                     ", but the weights say otherwise");
  if (has_skip) parts.weights.W_skip = widened(table, "W_skip", {config.d_out, config.d_in});
  take_site(parts, source, transcode);
  return parts;
}

}  // namespace rebound
