#include "rebound/audit/run_memory.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <filesystem>

#include "rebound/audit/subject.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

// Tokens of a prompt are counted only when the run has begun; these lie above the presets' own.
constexpr int64_t kPromptTokens = 24;
constexpr int64_t kRequestTokens = 96;

int64_t bytes_of_folder(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    return static_cast<int64_t>(fs::file_size(path, ignored));
  }
  int64_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path, ignored)) {
    if (entry.is_regular_file(ignored)) total += static_cast<int64_t>(entry.file_size(ignored));
  }
  return total;
}

// Weights in float32 from float16 files, and as much again for what a defence keeps of them.
int64_t sae_bytes(const std::vector<std::string>& saes) {
  int64_t total = 0;
  for (const std::string& sae : saes) total += 4 * bytes_of_folder(sae);
  return total;
}

template <class Spec>
MemoryPlan fit(Spec& spec, int64_t limit, bool is_dtype_given, int64_t fixed) {
  const std::string path = find_model(spec.model);
  const WeightBytes weights = WeightBytes::of(path);
  const bool has_copy = spec.dtype == "bfloat16";
  const bool is_free = !is_dtype_given && !has_copy;
  const MemoryWish wish = {.limit = limit,
                           .dtype = is_free    ? ""
                                    : has_copy ? "float32"
                                               : spec.dtype,
                           .fixed = fixed + (has_copy ? weights.sixteen_bits : 0),
                           .at_once = spec.batch,
                           .bytes_each = example_bytes(spec, read_config(path))};
  MemoryPlan plan = plan_memory(wish, weights);
  spec.batch = plan.at_once;
  if (is_free) spec.dtype = plan.dtype;
  return plan;
}

}  // namespace

ModelLoadOptions whole_form(const std::string& dtype) {
  return dtype == "bfloat16" ? ModelLoadOptions{} : dtype_named(dtype);
}

std::shared_ptr<const Transformer> searched_in(const std::string& dtype,
                                               const std::shared_ptr<const Transformer>& model) {
  if (dtype != "bfloat16") return model;
  return std::make_shared<const Transformer>(model->to(at::kBFloat16));
}

int64_t example_bytes(const AuditSpec& spec, const ModelConfig& config) {
  const auto n_rows = static_cast<int64_t>(spec.rows.size());  // searched in one batch at most
  const bool is_last_alone = spec.perturb.kind == PositionSet::Kind::kAnswer;
  const int64_t perturbed = is_last_alone ? 1 : kPromptTokens;
  const RunShape searched = {.rows = n_rows * perturbed,
                             .keys = kPromptTokens,
                             .kept_layers = config.num_hidden_layers / 2,
                             .scored_rows = n_rows};
  const int64_t draws = std::max(spec.controls.random_draws, spec.controls.inject_targets + 2);
  const RunShape drawn = {.rows = draws * perturbed, .keys = kPromptTokens, .scored_rows = 1};
  const RunShape whole = {.rows = kPromptTokens, .keys = kPromptTokens, .scored_rows = 2};
  return run_bytes(config, searched) + run_bytes(config, drawn) + run_bytes(config, whole);
}

int64_t example_bytes(const AnswerAuditSpec& spec, const ModelConfig& config) {
  // Corrections and products with a Jacobian keep a second graph beside that of the step.
  const int64_t kept = 9 * config.num_hidden_layers / 4;
  const int64_t answer = std::max(spec.target_tokens, spec.max_new_tokens);
  return run_bytes(config,
                   {.rows = spec.target_tokens,
                    .keys = kRequestTokens + answer,
                    .kept_layers = kept,
                    .scored_rows = spec.target_tokens});
}

MemoryPlan fit_to_memory(AuditSpec& spec, int64_t limit, bool is_dtype_given) {
  require<ConfigError>(spec.behaviour.kind == "ioi" || spec.has_folds(),
                       "--memory-limit: got it with ",
                       spec.behaviour.kind,
                       ", expected an audit of a model from a file");
  const ModelConfig config = read_config(find_model(spec.model));
  // The choice of features keeps a gradient of some prompts on every thread.
  const int64_t choice =
      run_bytes(config,
                {.rows = at::get_num_threads() * kAttributedAtOnce * kPromptTokens,
                 .keys = kPromptTokens,
                 .kept_layers = config.num_hidden_layers / 2});
  return fit(spec, limit, is_dtype_given, sae_bytes({find_sae(spec.sae)}) + choice);
}

MemoryPlan fit_to_memory(AnswerAuditSpec& spec, int64_t limit, bool is_dtype_given) {
  std::vector<std::string> saes;
  for (const std::string& sae : spec.defence.saes) saes.push_back(find_sae(sae));
  return fit(spec, limit, is_dtype_given, sae_bytes(saes));
}

}  // namespace rebound
