// rebound model inspect | logits | generate: what a model file holds, and what the model says.
#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/io/gguf.h"
#include "rebound/io/safetensors.h"
#include "rebound/model/family_sites.h"
#include "rebound/model/generate.h"
#include "rebound/model/transformer.h"
#include "rebound/text/load.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

struct ModelFlags {
  std::string model;  // empty: the default model
  std::string text;
  std::vector<int64_t> ids;
  int64_t top = 10;
  std::string prompt, system;
  bool is_chat = false;
  bool is_greedy = false;  // as without a temperature
  std::string prepend_bos = "auto";
  bool has_transformer_lens_processing = false;
  GenerateOptions generation;

  EncodeOptions encoding() const {
    return {.prepend_bos = prepend_bos == "auto" ? std::nullopt : std::optional(prepend_bos == "yes")};
  }
};

std::string model_path(const ModelFlags& flags, const CommonFlags& common) {
  require<ConfigError>(common.device == "cpu",
                       "--device: got ",
                       common.device,
                       ", expected cpu (rebound model runs on the CPU alone)");
  return find_model(flags.model);
}

Transformer load(const std::string& path, const ModelFlags& flags, const CommonFlags& common) {
  return load_model(path,
                    {.dtype = common.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat,
                     .has_transformer_lens_processing = flags.has_transformer_lens_processing});
}

// What the weight file itself says, without widening anything.
struct FileFacts {
  std::string kind;
  int64_t n_tensors = 0;
  int64_t n_parameters = 0;
  std::map<std::string, int64_t> tensors_by_dtype;
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
    return describe_tensors("safetensors folder", SafetensorsFolder{fs::path(path)});
  }
  const GgufFile file{fs::path(path)};
  return describe_tensors(concat("gguf v", file.version()), file);
}

int64_t count_layers(const ModelConfig& config, bool LayerKind::*is) {
  return std::count_if(config.layer_kinds.begin(), config.layer_kinds.end(), std::mem_fn(is));
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

Json inspect(const std::string& path) {
  // Loaded, not only read: an inspected model is one that runs.
  const ModelConfig config = load_model(path, at::kBFloat16).config();
  const FileFacts facts = describe_file(path);
  Json sites = Json::array();
  for (const Site& site : all_sites(config)) sites.push_back(to_string(site));
  return {{"path", path},
          {"name", config.name},
          {"file", facts.kind},
          {"tensors", facts.n_tensors},
          {"parameters", facts.n_parameters},
          {"tensors_by_dtype", facts.tensors_by_dtype},
          {"config", config_json(config)},
          {"tokenizer", tokenizer_json(path)},
          {"chat_template", has_chat_template(path)},
          {"sites", sites}};
}

void print_facts(const Json& facts, const std::string& indent = "") {
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

void check_ids(const std::vector<int64_t>& ids, const ModelConfig& config) {
  require<ConfigError>(!ids.empty(), "got an empty prompt, expected at least one token");
  for (const int64_t id : ids) {
    require<ConfigError>(id >= 0 && id < config.vocab_size,
                         "--ids: got ",
                         id,
                         ", expected 0..",
                         config.vocab_size - 1);
  }
}

void print_logits(const std::string& path, const Json& result) {
  const Tokenizer tokenizer = load_tokenizer(path);
  for (const Json& row : result["top"]) {
    const int64_t id = row["id"].get<int64_t>();
    const std::string text = id < tokenizer.vocabulary_size() ? tokenizer.token_text(id) : "";
    std::printf("%7lld  %9.4f  %s\n",
                static_cast<long long>(id),
                row["logit"].get<double>(),
                Json(text).dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  }
}

void show_logits(const ModelFlags& flags, const CommonFlags& common) {
  const at::NoGradGuard no_grad;
  const std::string path = model_path(flags, common);
  const std::vector<int64_t> ids =
      flags.ids.empty() ? load_tokenizer(path).encode(flags.text, flags.encoding()) : flags.ids;
  const Transformer model = load(path, flags, common);
  check_ids(ids, model.config());
  const at::Tensor resid = model.run(TokenBatch::from({ids})).resid[0][-1];
  const at::Tensor logits = model.logits(resid);
  const auto [values, index] = logits.topk(std::min(flags.top, logits.size(0)));
  Json result = {{"ids", ids}, {"top", Json::array()}};
  for (int64_t i = 0; i < values.size(0); ++i) {
    result["top"].push_back(
        {{"id", index[i].item<int64_t>()}, {"logit", values[i].item<double>()}});
  }
  if (common.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    print_logits(path, result);
  }
}

// Tokens to text as they come. Text is held back while it ends inside a character; a few tokens
// before the new one are decoded with it, since a token's text can depend on its neighbours.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string add(int64_t token) {
    ids_.push_back(token);
    const std::string now = decode_from_window(ids_.size());
    if (now.ends_with("\xEF\xBF\xBD")) return "";
    return take(now);
  }
  std::string rest() { return take(decode_from_window(ids_.size())); }

 private:
  std::string decode_from_window(size_t end) const {
    const auto begin = ids_.begin();
    return tokenizer_.decode(
        {begin + static_cast<std::ptrdiff_t>(window_), begin + static_cast<std::ptrdiff_t>(end)});
  }
  std::string take(const std::string& now) {
    const size_t shown = decode_from_window(shown_).size();
    const std::string fresh = now.size() > shown ? now.substr(shown) : "";
    window_ = shown_;
    shown_ = ids_.size();
    return fresh;
  }

  const Tokenizer& tokenizer_;
  std::vector<int64_t> ids_;
  size_t window_ = 0, shown_ = 0;
};

std::vector<int64_t> prompt_ids(const ModelFlags& flags,
                                const std::string& path,
                                const Tokenizer& tokenizer) {
  if (!flags.is_chat) return tokenizer.encode(flags.prompt, flags.encoding());
  const auto chat = load_chat_template(path);
  require<DataError>(chat.has_value(), path, ": got no chat template, expected one for --chat");
  std::vector<ChatMessage> messages;
  if (!flags.system.empty()) messages.push_back({"system", flags.system});
  messages.push_back({"user", flags.prompt});
  return chat->encode_chat(tokenizer, messages, {.add_generation_prompt = true});
}

void show_generation(const ModelFlags& flags, const CommonFlags& common) {
  flags.generation.validate();
  const std::string path = model_path(flags, common);
  const Tokenizer tokenizer = load_tokenizer(path);
  const std::vector<int64_t> prompt = prompt_ids(flags, path, tokenizer);
  const Transformer model = load(path, flags, common);
  check_ids(prompt, model.config());
  TextStream stream(tokenizer);
  const auto print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  GenerateOptions options = flags.generation;
  options.stop_tokens = end_of_turn_tokens(tokenizer);
  options.on_token = [&](int64_t token) {
    if (!common.json) print(stream.add(token));
    return true;
  };
  const std::vector<int64_t> tokens = generate(model, prompt, options);
  if (common.json) {
    const Json result = {
        {"prompt_ids", prompt}, {"ids", tokens}, {"text", tokenizer.decode(tokens)}};
    print(result.dump() + "\n");
  } else {
    print(stream.rest() + "\n");
  }
}

using ModelTask = void (*)(const ModelFlags&, const CommonFlags&);

void show_inspection(const ModelFlags& flags, const CommonFlags& common) {
  const Json facts = inspect(model_path(flags, common));
  if (common.json) {
    std::printf("%s\n", facts.dump(2).c_str());
  } else {
    print_facts(facts);
  }
}

struct Subverb {
  const char* name;
  const char* help;
  ModelTask task;
};

}  // namespace

void add_model_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<ModelFlags>();
  CLI::App* verb = app.add_subcommand("model", "Look into a model, or hear it");
  verb->require_subcommand(1);
  verb->fallthrough();
  const auto add = [&](const Subverb& sub) {
    CLI::App* added = verb->add_subcommand(sub.name, sub.help);
    added->fallthrough();
    added->add_option(
        "--model", flags->model, "GGUF file or Hugging Face folder [the default model]");
    added->callback([flags, &common, &run, task = sub.task] {
      run = [flags, &common, task] { task(*flags, common); };
    });
    if (sub.task == show_inspection) return added;
    added->add_option("--prepend-bos", flags->prepend_bos, "auto (as the tokenizer says), yes or no")
        ->check(CLI::IsMember({"auto", "yes", "no"}))
        ->capture_default_str();
    added->add_flag("--transformer-lens-processing",
                    flags->has_transformer_lens_processing,
                    "Weights as TransformerLens's from_pretrained leaves them");
    return added;
  };

  add({"inspect", "Configuration, weights, tokenizer and sites of a model", show_inspection});

  CLI::App* logits = add({"logits", "The likeliest next tokens of a text", show_logits});
  auto* prompt = logits->add_option_group("prompt");
  prompt->add_option("--text", flags->text, "The text; special tokens in it are read as such");
  prompt->add_option("--ids", flags->ids, "Token ids, separated by commas")->delimiter(',');
  prompt->require_option(1);
  logits->add_option("--top", flags->top, "How many tokens to list")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  CLI::App* generate = add({"generate", "Continues a prompt", show_generation});
  GenerateOptions& options = flags->generation;
  generate->add_option("--prompt,--text", flags->prompt, "The text to continue")->required();
  auto* chat = generate->add_flag("--chat", flags->is_chat, "The prompt is a user's message");
  generate->add_option("--system", flags->system, "System message")->needs(chat);
  generate->add_option("--max-new-tokens,--tokens", options.max_new_tokens, "Most tokens to add")
      ->capture_default_str();
  auto* temperature = generate->add_option("--temperature", options.temperature, "0: the likeliest token")
                          ->capture_default_str();
  generate->add_flag("--greedy", flags->is_greedy, "The likeliest token each time: the default, said aloud")->excludes(temperature);
  generate
      ->add_option(
          "--top-p", options.top_p, "Draw from the likeliest tokens of this total, in (0, 1]")
      ->capture_default_str();
  generate->add_option("--seed", options.seed, "Of the draws")->capture_default_str();
}

}  // namespace rebound
