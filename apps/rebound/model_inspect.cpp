#include "model_inspect.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>

#include "rebound/base/error.h"
#include "rebound/io/gguf.h"
#include "rebound/model/family_sites.h"
#include "rebound/model/memory_plan.h"
#include "rebound/model/precision_gap.h"
#include "rebound/model/text_tower.h"
#include "rebound/model/transformer.h"
#include "rebound/text/load.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

// What the weight file itself says, without widening anything.
struct FileFacts {
  std::string kind;
  int64_t n_tensors = 0;
  int64_t n_parameters = 0;
  std::map<std::string, int64_t> tensors_by_dtype;
  TextFolder::LeftOut left_out;  // of a model that also sees images
};

FileFacts describe_tensors(std::string kind, const TensorTable& table) {
  FileFacts facts{std::move(kind)};
  for (const TensorView& tensor : table.tensors()) {
    ++facts.n_tensors;
    facts.n_parameters += tensor.elements();
    ++facts.tensors_by_dtype[std::string(dtype_info(tensor.dtype).name)];
  }
  return facts;
}

FileFacts describe_file(const std::string& path) {
  if (fs::is_directory(path)) {
    const TextFolder folder{fs::path(path)};
    FileFacts facts = describe_tensors("safetensors folder", folder);
    facts.left_out = folder.left_out();
    return facts;
  }
  const GgufFile file{fs::path(path)};
  return describe_tensors(concat("gguf v", file.version()), file);
}

int64_t count_layers(const ModelConfig& config, bool LayerKind::*is) {
  return std::count_if(config.layer_kinds.begin(), config.layer_kinds.end(), std::mem_fn(is));
}

// "yarn, factor 4 over 32768 positions, attention times 1.139".
std::string rope_text(const RopeScaling& scaling) {
  using Kind = RopeScaling::Kind;
  std::string text = "none";
  if (scaling.kind == Kind::kLinear) text = concat("linear, factor ", scaling.factor);
  if (scaling.kind == Kind::kLlama3 || scaling.kind == Kind::kYarn) {
    text = concat(scaling.kind == Kind::kYarn ? "yarn" : "llama3",
                  ", factor ",
                  scaling.factor,
                  " over ",
                  scaling.original_max_position_embeddings,
                  " positions");
  }
  if (scaling.kind == Kind::kDivisors) text = "a factor for each frequency";
  if (scaling.long_positions > 0) {
    text = concat("longrope, its short factors (texts of up to ",
                  scaling.original_max_position_embeddings,
                  " of ",
                  scaling.long_positions,
                  " positions)");
  }
  const double attention = scaling.attention_factor;
  return attention == 1 ? text : concat(text, ", attention times ", attention);
}

// Nothing for a model of texts alone.
Json left_out_json(const TextFolder::LeftOut& left_out) {
  if (left_out.tensors == 0) return nullptr;
  return {{"what", "vision tower and projector: only texts are run"},
          {"tensors", left_out.tensors},
          {"parameters", left_out.parameters}};
}

Json config_json(const ModelConfig& config) {
  return {{"model_type", config.model_type},
          {"vocab_size", config.vocab_size},
          {"hidden_size", config.hidden_size},
          {"intermediate_size", config.intermediate_size},
          {"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"num_key_value_heads", config.num_key_value_heads},
          {"head_dim", config.head_dim},
          {"max_position_embeddings", config.max_position_embeddings},
          {"rms_norm_eps", config.rms_norm_eps},
          {"rope_theta", config.rope_theta},
          {"rope_scaling", rope_text(config.rope_scaling)},
          {"sliding_layers", count_layers(config, &LayerKind::is_sliding)},
          {"sliding_window", config.sliding_window},
          {"tie_word_embeddings", config.tie_word_embeddings}};
}

// "BPE" as in tokenizer.json, or "gpt2, smollm": GGUF's model and pre-tokenizer.
std::string tokenizer_kind(const std::string& path) {
  if (fs::is_directory(path)) {
    const Json json = read_json_file(fs::path(path) / "tokenizer.json");
    return json.at("model").value("type", "unknown");
  }
  const GgufFile file{fs::path(path)};
  return concat(file.string("tokenizer.ggml.model").value_or("unknown"),
                ", ",
                file.string("tokenizer.ggml.pre").value_or("default"));
}

Json tokenizer_json(const std::string& path) {
  try {
    const Tokenizer tokenizer = load_tokenizer(path);
    return {{"kind", tokenizer_kind(path)},
            {"vocabulary_size", tokenizer.vocabulary_size()},
            {"control_tokens", tokenizer.control_tokens().size()},
            {"bos_id", tokenizer.bos_id() ? Json(*tokenizer.bos_id()) : Json()},
            {"eos_id", tokenizer.eos_id() ? Json(*tokenizer.eos_id()) : Json()}};
  } catch (const Error& e) {
    return {{"error", e.what()}};
  }
}

bool has_chat_template(const std::string& path) {
  try {
    return load_chat_template(path).has_value();
  } catch (const Error&) {
    return false;
  }
}

Json memory_json(const std::string& path) {
  const WeightBytes bytes = WeightBytes::of(path);
  return {{"float32", bytes.float32}, {"bfloat16", bytes.sixteen_bits}, {"stored", bytes.stored}};
}

// What another --dtype than float32 changes, on a sentence.
Json precision_json(const std::string& path, const Transformer& rounded) {
  const std::string text =
      "The residual stream of a language model is a sum of what its blocks write.";
  try {
    return precision_gap(rounded, load_model(path), load_tokenizer(path).encode(text)).to_json();
  } catch (const Error& e) {
    return {{"error", e.what()}};
  }
}

}  // namespace

Json inspect_model(const std::string& path, const ModelLoadOptions& form) {
  // Loaded, not only read: an inspected model is one that runs.
  const Transformer model = load_model(path, form);
  const ModelConfig& config = model.config();
  const FileFacts facts = describe_file(path);
  Json sites = Json::array();
  for (const Site& site : all_sites(config)) sites.push_back(to_string(site));
  return {{"path", path},
          {"name", config.name},
          {"file", facts.kind},
          {"tensors", facts.n_tensors},
          {"parameters", facts.n_parameters},
          {"tensors_by_dtype", facts.tensors_by_dtype},
          {"left_out", left_out_json(facts.left_out)},
          {"memory_bytes", memory_json(path)},
          {"config", config_json(config)},
          {"precision", model.precision() == "float32" ? Json() : precision_json(path, model)},
          {"tokenizer", tokenizer_json(path)},
          {"chat_template", has_chat_template(path)},
          {"sites", sites}};
}

void print_facts(const Json& facts, const std::string& indent) {
  for (const auto& [key, value] : facts.items()) {
    if (key == "sites") {
      std::printf("%-26s%zu, from %s to %s (all with --json)\n",
                  "sites",
                  value.size(),
                  value.front().get<std::string>().c_str(),
                  value.back().get<std::string>().c_str());
    } else if (value.is_object()) {
      std::printf("%s\n", key.c_str());
      print_facts(value, "  ");
    } else {
      const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      std::printf("%-26s%s\n", (indent + key).c_str(), text.c_str());
    }
  }
}

}  // namespace rebound
