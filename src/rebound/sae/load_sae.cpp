#include "rebound/sae/load_sae.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>

#include "rebound/io/hub_cache.h"
#include "rebound/model/site.h"
#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_formats.h"

namespace rebound {
namespace {

const std::vector<SaeFormat>& formats() {
  static const std::vector<SaeFormat> all = {
      {"saelens", is_sae_lens, read_sae_lens},
      {"sparsify", is_sparsify, read_sparsify},
      {"gemma_scope", is_gemma_scope, read_gemma_scope},
      {"gemma_scope_2", is_gemma_scope_2, read_gemma_scope_2},
      {"dictionary_learning", is_dictionary_learning, read_dictionary_learning},
      {"llama_scope", is_llama_scope, read_llama_scope},
      {"llama_scope_r1", is_llama_scope_r1, read_llama_scope_r1},
      {"llamascopium", is_llamascopium, read_llamascopium},
      {"circuit_tracer", is_circuit_tracer, read_circuit_tracer},
      {"circuit_tracer_clt", is_circuit_tracer_clt, read_circuit_tracer_clt},
      {"connor_rob", is_connor_rob, read_connor_rob},
      {"e2e_sae", is_e2e_sae, read_e2e_sae},
      {"qwen_scope", is_qwen_scope, read_qwen_scope},
      {"goodfire", is_goodfire, read_goodfire},
      {"deepseek_r1", is_deepseek_r1, read_deepseek_r1}};
  return all;
}

std::string listed(const std::vector<std::string>& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > most) text += concat(", ... (", names.size(), " in all)");
  return text;
}

// Formats that only the tensors of a .pt file tell apart come last: a checkpoint beside an SAE
// (trainer_state.pt) is never opened.
constexpr std::string_view kFirstByKeys = "connor_rob";

std::vector<std::string> candidates(const SaeSource& source) {
  std::vector<std::string> names;
  for (const SaeFormat& format : formats()) {
    if (format.name == kFirstByKeys && !names.empty()) break;
    if (format.matches(source)) names.push_back(format.name);
  }
  return names;
}

const SaeFormat& format_named(const std::string& name) {
  for (const SaeFormat& format : formats()) {
    if (name == format.name) return format;
  }
  throw ConfigError(
      concat("--format: got \"", name, "\", expected one of: ", listed(sae_format_names(), 99)));
}

const SaeFormat& chosen_format(const SaeSource& source, const LoadSaeOptions& options) {
  if (!options.format.empty()) return format_named(options.format);
  const std::vector<std::string> found = candidates(source);
  require<DataError>(!found.empty(),
                     "no known format: got ",
                     source.names().empty() ? "an empty folder" : listed(source.names(), 6),
                     "; known are: ",
                     listed(sae_format_names(), 99));
  require<DataError>(
      found.size() == 1, "fits several formats: ", listed(found, 99), "; name one with --format");
  return format_named(found.front());
}

void apply_sites(SaeParts& parts, const LoadSaeOptions& options) {
  SaeConfig& config = parts.config;
  if (!options.hook.empty() && options.hook != config.hook_name) {
    parts.note("site",
               "the caller's: " + options.hook +
                   (config.hook_name.empty() ? "" : ", the file says " + config.hook_name));
    config.hook_name = options.hook;
    config.hf_module.clear();
  }
  if (!options.hook_out.empty() && options.hook_out != config.hook_name) {
    require<DataError>(!config.apply_b_dec_to_input,
                       "--hook-out: got ",
                       options.hook_out,
                       ", but this file subtracts b_dec from its input, which no transcoder does");
    config.is_transcoder = true;
    config.hook_name_out = options.hook_out;
    parts.note("site", "writes at the caller's " + options.hook_out);
  }
  if (config.hook_name.empty()) parts.note("site", "not in the files: --hook names it");
  if (config.hf_module.empty()) {
    config.hf_module = hf_module_of(config.hook_name, family_of_model(config.model_name));
  }
}

// An option that a format has no use for is a mistake, not a wish.
void require_used(const LoadSaeOptions& options, const std::string& format) {
  require<ConfigError>(options.release.empty() || format == "saelens" || format == "llama_scope_r1",
                       "--release: got ",
                       options.release,
                       " for format ",
                       format,
                       ", expected it with saelens or llama_scope_r1, which take rows of "
                       "assets/registry.json");
  require<ConfigError>(options.architecture.empty() || format == "dictionary_learning",
                       "--architecture: got ",
                       options.architecture,
                       " for format ",
                       format,
                       ", expected it with dictionary_learning");
}

bool has_fold(const SaeParts& parts, std::string_view name, std::string_view source) {
  return std::any_of(parts.config.folds.begin(), parts.config.folds.end(), [&](const auto& fold) {
    return fold.name == name && fold.detail.find(source) != std::string::npos;
  });
}

// Whether a format has a use for these depends on the files, too.
void require_folded(const LoadSaeOptions& options, const SaeParts& parts) {
  require<ConfigError>(!options.norm_scaling_factor || has_fold(parts, "scale", "the caller"),
                       "--norm-scaling-factor: got ",
                       options.norm_scaling_factor.value_or(0),
                       " for ",
                       parts.config.format,
                       " files that leave no scale open, expected it with saelens files of "
                       "expected_average_only_in, or with llama_scope_r1");
  require<ConfigError>(
      !options.transposed_skip || has_fold(parts, "skip_orientation", "the caller"),
      "--transposed-skip: got it for ",
      parts.config.format,
      " files without affine_skip_connection, expected it with gemma_scope_2");
}

Sae load(const std::filesystem::path& path, const LoadSaeOptions& options) {
  const SaeSource source(path);
  const SaeFormat& format = chosen_format(source, options);
  require_used(options, format.name);
  SaeParts parts = format.read(source, options);
  parts.config.format = format.name;
  require_folded(options, parts);
  apply_sites(parts, options);
  note_use(parts);
  return Sae(std::move(parts.config), std::move(parts.weights));
}

}  // namespace

std::vector<std::string> sae_format_names() {
  std::vector<std::string> names;
  for (const SaeFormat& format : formats()) names.push_back(format.name);
  return names;
}

std::vector<std::string> detect_sae_formats(const std::filesystem::path& path) {
  return candidates(SaeSource(path));
}

Sae load_sae(const std::filesystem::path& path, const LoadSaeOptions& options) {
  const std::filesystem::path place = find_hub_sae(path.string()).value_or(path.string());
  return with_context(concat("SAE ", place.string()), [&] { return load(place, options); });
}

std::string one_of_set(const SaeSource& source, const std::vector<std::string>& names) {
  if (source.is_one_file()) return source.names().front();
  require<DataError>(!names.empty(), "no file of the set is there");
  require<DataError>(names.size() == 1,
                     "holds a set (",
                     listed(names, 3),
                     "); name one file of it, such as ",
                     (source.folder() / names.front()).string());
  return names.front();
}

void read_weights(SaeParts& parts, const TensorTable& table, const WeightNames& names) {
  SaeConfig& config = parts.config;
  config.d_sae = axis_size(table, names.W_enc, names.W_enc_is_transposed ? 0 : 1);
  config.d_in = axis_size(table, names.W_enc, names.W_enc_is_transposed ? 1 : 0);
  config.d_out = axis_size(table, names.b_dec, 0);
  const auto matrix = [&](const std::string& name, bool transposed, int64_t rows, int64_t columns) {
    return transposed ? widened(table, name, {columns, rows}).t()
                      : widened(table, name, {rows, columns});
  };
  SaeWeights& w = parts.weights;
  w.W_enc = matrix(names.W_enc, names.W_enc_is_transposed, config.d_in, config.d_sae);
  w.b_enc = widened(table, names.b_enc, {config.d_sae});
  w.W_dec = matrix(names.W_dec, names.W_dec_is_transposed, config.d_sae, config.d_out);
  w.b_dec = widened(table, names.b_dec, {config.d_out});
}

void check_fits(const Sae& sae, const ModelConfig& model) {
  const std::string& hook = sae.config().hook_name;
  require<DataError>(!sae.is_transcoder(),
                     "SAE: got a transcoder (",
                     hook,
                     " -> ",
                     sae.config().hook_name_out,
                     "), expected an SAE that reconstructs the residual stream it reads");
  require<DataError>(!hook.empty(), "SAE: its files name no hook_name");
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
