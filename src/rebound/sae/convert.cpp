#include "rebound/sae/convert.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "rebound/base/file.h"
#include "rebound/sae/centring.h"
#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/sae_parts.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

void require_no_norm(const Sae& sae, const char* layout) {
  require<DataError>(sae.config().norm == SaeNorm::kNone,
                     layout,
                     ": has no place for the per-token norm ",
                     to_string(sae.config().norm));
}

void require_plain_model(const Sae& sae, const char* layout) {
  require<DataError>(!is_of_centred_model(sae.config()),
                     layout,
                     ": has no place to say that the model's writing weights are centred, without "
                     "which the codes are wrong; --to saelens has");
}

// b_enc for a layout that subtracts b_dec from its input, or one that does not.
at::Tensor b_enc_where_b_dec_is(bool subtracted, const Sae& sae) {
  const SaeWeights& w = sae.weights();
  if (sae.config().apply_b_dec_to_input == subtracted) return w.b_enc;
  const at::Tensor shift = at::matmul(w.b_dec.to(at::kDouble), w.W_enc.to(at::kDouble));
  const at::Tensor b_enc = w.b_enc.to(at::kDouble);
  return (subtracted ? b_enc + shift : b_enc - shift).to(at::kFloat);
}

void write_sparsify(const Sae& sae, const fs::path& folder) {
  const SaeConfig& config = sae.config();
  const SaeWeights& w = sae.weights();
  require<DataError>(config.kind == SaeKind::kTopK || config.kind == SaeKind::kGroupMax,
                     "sparsify: has topk and groupmax only, got ",
                     to_string(config.kind));
  require<DataError>(config.d_out == config.d_in,
                     "sparsify: needs equal widths, got d_in=",
                     config.d_in,
                     " and d_out=",
                     config.d_out);
  require_no_norm(sae, "sparsify");
  require_plain_model(sae, "sparsify");
  const bool has_skip = w.W_skip.defined();
  std::vector<NamedTensor> tensors = {
      {"encoder.weight", w.W_enc.t()},
      {"encoder.bias", b_enc_where_b_dec_is(!config.is_transcoder, sae)},
      {"W_dec", w.W_dec},
      {"b_dec", w.b_dec}};
  if (has_skip) tensors.push_back({"W_skip", w.W_skip});
  write_tensors(folder / "sae.safetensors", std::move(tensors));
  const Json cfg = {{"activation", to_string(config.kind)},
                    {"expansion_factor", std::max<int64_t>(1, config.d_sae / config.d_in)},
                    {"normalize_decoder", false},
                    {"num_latents", config.d_sae},
                    {"k", config.k},
                    {"multi_topk", false},
                    {"skip_connection", has_skip},
                    {"transcode", config.is_transcoder},
                    {"d_in", config.d_in}};
  write_file_atomically(folder / "cfg.json", cfg.dump(2) + "\n");
}

void write_gemma_scope(const Sae& sae, const fs::path& folder) {
  const SaeConfig& config = sae.config();
  const SaeWeights& w = sae.weights();
  require<DataError>(
      sae.is_pointwise(), "gemma-scope: has jumprelu only, got ", to_string(config.kind));
  require_no_norm(sae, "gemma-scope");
  require_plain_model(sae, "gemma-scope");
  std::vector<NamedTensor> tensors = {{"w_enc", w.W_enc},
                                      {"b_enc", b_enc_where_b_dec_is(false, sae)},
                                      {"w_dec", w.W_dec},
                                      {"b_dec", w.b_dec},
                                      {"threshold", w.threshold}};
  if (w.W_skip.defined()) tensors.push_back({"affine_skip_connection", w.W_skip.t()});
  write_tensors(folder / "params.safetensors", std::move(tensors));
  Json json = {{"architecture", "jump_relu"},
               {"model_name", config.model_name},
               {"hf_hook_point_in", config.hf_module},
               {"affine_connection", w.W_skip.defined()}};
  if (config.is_transcoder) {
    const std::string out = hf_module_of(config.hook_name_out, family_of_model(config.model_name));
    json["hf_hook_point_out"] = out.empty() ? "not known" : out;
  }
  write_file_atomically(folder / "config.json", json.dump(2) + "\n");
}

}  // namespace

void convert_sae(const Sae& sae, const std::string& to, const fs::path& folder) {
  if (to == "saelens") return save_sae(sae, folder, SaveDType::kFloat32);
  if (to == "sparsify") return write_sparsify(sae, folder);
  if (to == "gemma-scope") return write_gemma_scope(sae, folder);
  throw ConfigError(concat("--to: got \"", to, "\", expected saelens, sparsify or gemma-scope"));
}

}  // namespace rebound
