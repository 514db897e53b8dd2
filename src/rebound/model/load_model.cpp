#include <torch/torch.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/io/gguf.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/config_gguf.h"
#include "rebound/model/families.h"
#include "rebound/model/read_weights.h"
#include "rebound/model/text_tower.h"
#include "rebound/model/transformer.h"
#include "rebound/model/transformer_lens.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultModel = "SmolLM2-135M-Instruct.Q4_1.gguf";

struct Parts {
  ModelConfig config;
  ModelWeights weights;
};

// Processing needs the precision of the file; rounding comes after it.
WeightForm form_in_file(const ModelLoadOptions& options) {
  if (options.has_transformer_lens_processing) return {};
  return {.dtype = options.dtype, .keeps_stored = options.keeps_stored};
}

Parts read_parts(ModelConfig config, const WeightFile& file, const Architecture& row) {
  ModelWeights weights = read_weights(config, row, file);
  return {std::move(config), std::move(weights)};
}

const Architecture& row_of(const GgufFile& file) {
  const auto name = file.string("general.architecture");
  require<DataError>(name.has_value(), "missing metadata \"general.architecture\"");
  return architecture_of_gguf(*name);
}

ModelConfig config_of_folder(const std::string& path) {
  ModelConfig config = read_hugging_face_config(read_json_file(fs::path(path) / "config.json"));
  config.name = name_of_path(path);
  return config;
}

void require_model_at(const std::string& path) {
  require<IoError>(fs::exists(path),
                   path,
                   ": no such file or folder, expected a .gguf file or a "
                   "Hugging Face folder with config.json");
}

Parts load_gguf(const std::string& path, const ModelLoadOptions& options) {
  const auto file = std::make_shared<const GgufFile>(fs::path(path));
  const Architecture& row = row_of(*file);
  const WeightFile weights(*file, FileFormat::kGguf, row, form_in_file(options), file);
  return read_parts(read_gguf_config(*file, row), weights, row);
}

// Whether the file has a head that is not a copy of its embedding: as in transformers it is used,
// whatever tie_word_embeddings says.
bool has_own_head(const TensorTable& tensors, const Architecture& row) {
  const TensorView* head = tensors.find(row.head.hugging_face);
  const TensorView* embed = tensors.find(row.embed.hugging_face);
  if (!head || !embed) return false;
  return head->dtype != embed->dtype || head->bytes != embed->bytes ||
         std::memcmp(head->data, embed->data, head->bytes) != 0;
}

Parts load_folder(const std::string& path, const ModelLoadOptions& options) {
  ModelConfig config = config_of_folder(path);
  const auto folder = std::make_shared<const TextFolder>(fs::path(path));
  const Architecture& row = architecture_of(config.model_type);
  if (has_own_head(*folder, row)) config.tie_word_embeddings = false;
  const WeightFile weights(*folder, FileFormat::kHuggingFace, row, form_in_file(options), folder);
  return read_parts(std::move(config), weights, row);
}

// Folders in which models without a path are looked for.
std::vector<fs::path> model_folders() {
  std::vector<fs::path> folders = {"models"};
  // The program lies in build/<preset>/ of the project.
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!ignored) folders.push_back(program.parent_path().parent_path().parent_path() / "models");
  if (const char* home = std::getenv("HOME")) folders.push_back(fs::path(home) / ".cache/rebound");
  return folders;
}

std::optional<std::string> find_in_folders(const fs::path& file) {
  std::error_code ignored;
  for (const fs::path& folder : model_folders()) {
    if (fs::exists(folder / file, ignored)) return (folder / file).string();
  }
  return std::nullopt;
}

}  // namespace

Transformer load_model(const std::string& path, const ModelLoadOptions& options) {
  const at::NoGradGuard no_grad;
  require_model_at(path);
  require<ConfigError>(!options.keeps_stored || !options.has_transformer_lens_processing,
                       path,
                       ": got weights kept as stored and --transformer-lens-processing, which "
                       "changes them; expected one of the two");
  return with_context(concat("model ", path), [&] {
    Parts parts = fs::is_directory(path) ? load_folder(path, options) : load_gguf(path, options);
    if (!options.has_transformer_lens_processing) {
      return Transformer(std::move(parts.config), std::move(parts.weights));
    }
    const Transformer exact = process_as_transformer_lens(parts.config, std::move(parts.weights));
    return options.dtype == at::kFloat ? exact : exact.to(options.dtype);
  });
}

ModelConfig read_config(const std::string& path) {
  require_model_at(path);
  return with_context(concat("model ", path), [&] {
    if (fs::is_directory(path)) return config_of_folder(path);
    const GgufFile file{fs::path(path)};
    return read_gguf_config(file, row_of(file));
  });
}

ModelLoadOptions dtype_named(const std::string& name) {
  if (name == "float32") return {};
  if (name == "bfloat16") return {.dtype = at::kBFloat16};
  if (name == "float16") return {.dtype = at::kHalf};
  if (name == "stored") return {.keeps_stored = true};
  throw ConfigError(concat(
      "dtype: got \"", name, "\", expected float32, bfloat16, float16 or stored (as in the file)"));
}

Transformer load_model(const std::string& path, at::ScalarType dtype) {
  return load_model(path, ModelLoadOptions{.dtype = dtype});
}

std::string find_model(const std::string& path) {
  if (path.empty()) return find_default_model();
  std::error_code ignored;
  const fs::path file = path;
  if (fs::exists(file, ignored)) return path;
  const bool is_name_alone = !file.has_parent_path() && file.extension() == ".gguf";
  if (const auto found = is_name_alone ? find_in_folders(file) : std::nullopt) return *found;
  return find_hub_model(path).value_or(path);
}

std::string find_default_model() {
  const auto found = find_in_folders(kDefaultModel);
  if (found) return *found;
  throw IoError(concat("default model ",
                       kDefaultModel,
                       ": not in models/ or ~/.cache/rebound; run "
                       "scripts/fetch_default_model.sh, or give --model"));
}

}  // namespace rebound
