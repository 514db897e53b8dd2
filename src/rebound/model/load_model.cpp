#include <torch/torch.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/gguf.h"
#include "rebound/io/safetensors.h"
#include "rebound/model/transformer.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::string in_layer(const char* pattern, int64_t layer) {
  std::string name = pattern;
  const size_t hole = name.find("{}");
  return hole == std::string::npos ? name : name.replace(hole, 2, std::to_string(layer));
}

// One file format seen as named float32 matrices of expected shapes.
struct WeightFile {
  const TensorTable& tensors;
  const char* WeightName::*format;
  bool interleaves_qk;

  std::string name(const WeightName& weight, int64_t layer) const {
    return in_layer(weight.*format, layer);
  }

  at::Tensor read(const WeightName& weight,
                  int64_t layer,
                  const std::vector<int64_t>& shape) const {
    const TensorView& view = tensors.get(name(weight, layer));
    require<DataError>(view.shape == shape,
                       view.name,
                       ": got shape ",
                       shape_text(view.shape),
                       ", expected ",
                       shape_text(shape));
    at::Tensor tensor = at::empty(shape, at::kFloat);
    to_float32(view, tensor.data_ptr<float>());
    // A sum is finite only if every element is (float64, so it cannot overflow by itself).
    require<DataError>(std::isfinite(tensor.sum(at::kDouble).item<double>()),
                       view.name,
                       ": got NaN or infinite weights, expected finite numbers");
    return tensor;
  }

  // Rows of each head from (pair, half) order back to (half, pair).
  at::Tensor read_rotary(const WeightName& weight,
                         int64_t layer,
                         int64_t n_heads,
                         int64_t d_head,
                         int64_t d_model) const {
    const at::Tensor tensor = read(weight, layer, {n_heads * d_head, d_model});
    if (!interleaves_qk) return tensor;
    return tensor.view({n_heads, d_head / 2, 2, d_model}).transpose(1, 2).reshape_as(tensor);
  }
};

Transformer assemble(ModelConfig config, const WeightFile& file, at::ScalarType dtype) {
  const Architecture& names = architecture_of(config.model_type);
  const int64_t d_model = config.hidden_size, d_mlp = config.intermediate_size;
  const int64_t n_heads = config.num_attention_heads, n_kv = config.num_key_value_heads;
  const int64_t d_head = config.head_dim;
  config.validate();
  ModelWeights weights;
  weights.embed = file.read(names.embed, 0, {config.vocab_size, d_model}).to(dtype);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    LayerWeights layer;
    layer.attn_norm = file.read(names.attn_norm, i, {d_model});
    layer.qkv = at::cat({file.read_rotary(names.q, i, n_heads, d_head, d_model),
                         file.read_rotary(names.k, i, n_kv, d_head, d_model),
                         file.read(names.v, i, {n_kv * d_head, d_model})})
                    .to(dtype);
    layer.o = file.read(names.o, i, {d_model, n_heads * d_head}).to(dtype);
    layer.mlp_norm = file.read(names.mlp_norm, i, {d_model});
    layer.gate_up = at::cat({file.read(names.gate, i, {d_mlp, d_model}),
                             file.read(names.up, i, {d_mlp, d_model})})
                        .to(dtype);
    layer.down = file.read(names.down, i, {d_model, d_mlp}).to(dtype);
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = file.read(names.final_norm, 0, {d_model});
  weights.head = config.tie_word_embeddings
                     ? weights.embed
                     : file.read(names.head, 0, {config.vocab_size, d_model}).to(dtype);
  return Transformer(std::move(config), std::move(weights));
}

int64_t required_integer(const GgufFile& file, const std::string& key) {
  const auto value = file.integer(key);
  require<DataError>(value.has_value(), "missing metadata \"", key, "\"");
  return static_cast<int64_t>(*value);
}

ModelConfig read_gguf_config(const GgufFile& file, const Architecture& row) {
  const std::string prefix = std::string(row.gguf_name) + ".";
  const auto integer = [&](const char* key) { return required_integer(file, prefix + key); };
  ModelConfig config;
  config.model_type = row.model_type;
  config.name = file.string("general.name").value_or("");
  config.hidden_size = integer("embedding_length");
  config.intermediate_size = integer("feed_forward_length");
  config.num_hidden_layers = integer("block_count");
  config.num_attention_heads = integer("attention.head_count");
  config.num_key_value_heads =
      static_cast<int64_t>(file.integer(prefix + "attention.head_count_kv")
                               .value_or(static_cast<uint64_t>(config.num_attention_heads)));
  require<DataError>(config.num_attention_heads > 0,
                     prefix,
                     "attention.head_count: got ",
                     config.num_attention_heads,
                     ", expected > 0");
  config.head_dim = config.hidden_size / config.num_attention_heads;
  const auto rotary = file.integer(prefix + "rope.dimension_count");
  require<DataError>(!rotary || static_cast<int64_t>(*rotary) == config.head_dim,
                     prefix,
                     "rope.dimension_count: got ",
                     rotary.value_or(0),
                     ", expected head_dim=",
                     config.head_dim,
                     " (partial rotation is not implemented)");
  const std::string scaling = file.string(prefix + "rope.scaling.type").value_or("none");
  require<DataError>(scaling == "none",
                     prefix,
                     "rope.scaling.type: got \"",
                     scaling,
                     "\", expected none (scaling is not implemented)");
  config.max_position_embeddings = integer("context_length");
  config.rms_norm_eps = file.number(prefix + "attention.layer_norm_rms_epsilon").value_or(1e-5);
  config.rope_theta = file.number(prefix + "rope.freq_base").value_or(10000.0);
  const TensorView& embed = file.get(row.embed.gguf);
  require<DataError>(embed.shape.size() == 2,
                     embed.name,
                     ": got shape ",
                     shape_text(embed.shape),
                     ", expected [vocab_size, hidden_size]");
  config.vocab_size = embed.shape[0];
  const TensorTable& tensors = file;
  config.tie_word_embeddings = tensors.find(row.head.gguf) == nullptr;
  return config;
}

Transformer load_gguf(const std::string& path, at::ScalarType dtype) {
  const GgufFile file{fs::path(path)};
  const auto name = file.string("general.architecture");
  require<DataError>(name.has_value(), "missing metadata \"general.architecture\"");
  const Architecture& row = architecture_of_gguf(*name);
  return assemble(
      read_gguf_config(file, row), {file, &WeightName::gguf, row.gguf_interleaves_qk}, dtype);
}

Transformer load_folder(const std::string& path, at::ScalarType dtype) {
  ModelConfig config = read_hugging_face_config(read_json_file(fs::path(path) / "config.json"));
  config.name = fs::path(path).filename().string();
  const SafetensorsFolder folder{fs::path(path)};
  return assemble(std::move(config), {folder, &WeightName::hugging_face, false}, dtype);
}

}  // namespace

Transformer load_model(const std::string& path, at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  require<IoError>(fs::exists(path),
                   path,
                   ": no such file or folder, expected a .gguf file or a "
                   "Hugging Face folder with config.json");
  return with_context(concat("model ", path), [&] {
    return fs::is_directory(path) ? load_folder(path, dtype) : load_gguf(path, dtype);
  });
}

std::string find_default_model() {
  const fs::path file = "SmolLM2-135M-Instruct.Q4_1.gguf";
  std::vector<fs::path> places = {fs::path("models") / file};
  // The program lies in build/<preset>/ of the project.
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!ignored) {
    places.push_back(program.parent_path().parent_path().parent_path() / "models" / file);
  }
  if (const char* home = std::getenv("HOME"))
    places.push_back(fs::path(home) / ".cache/rebound" / file);
  for (const fs::path& place : places) {
    if (fs::exists(place, ignored)) return place.string();
  }
  throw IoError(concat("default model ",
                       file.string(),
                       ": not in models/ or ~/.cache/rebound; run "
                       "scripts/fetch_default_model.sh, or give --model"));
}

}  // namespace rebound
