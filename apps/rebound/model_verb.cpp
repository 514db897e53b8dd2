// rebound model inspect | logits | generate: what a model file holds, and what the model says.
// `pull` is in pull_verb.cpp.
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

#include "device_flag.h"
#include "model_inspect.h"
#include "model_plan.h"
#include "pull_verb.h"
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
  std::string memory_limit;
  bool has_transformer_lens_processing = false;
  GenerateOptions generation;

  EncodeOptions encoding() const {
    return {.prepend_bos =
                prepend_bos == "auto" ? std::nullopt : std::optional(prepend_bos == "yes")};
  }
};

// `most` is the number of tokens that the run can come to.
Transformer load(const std::string& path,
                 const ModelFlags& flags,
                 const CommonFlags& common,
                 int64_t most) {
  const PlannedModel plan = plan_model(
      path, common, flags.memory_limit, {.rows = most, .keys = most, .scored_rows = 1});
  ModelLoadOptions form = plan.form;
  form.has_transformer_lens_processing = flags.has_transformer_lens_processing;
  return on_flag_device(load_model(path, form), common);
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
  const std::string path = find_model(flags.model);
  const std::vector<int64_t> ids =
      flags.ids.empty() ? load_tokenizer(path).encode(flags.text, flags.encoding()) : flags.ids;
  const Transformer model = load(path, flags, common, static_cast<int64_t>(ids.size()));
  check_ids(ids, model.config());
  const at::Tensor resid = model.run(TokenBatch::from({ids})).resid[0][-1];
  const at::Tensor logits = model.logits(resid);
  const auto [values, index] = logits.cpu().topk(std::min(flags.top, logits.size(0)));
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
  const std::string path = find_model(flags.model);
  const Tokenizer tokenizer = load_tokenizer(path);
  const std::vector<int64_t> prompt = prompt_ids(flags, path, tokenizer);
  const int64_t most = static_cast<int64_t>(prompt.size()) + flags.generation.max_new_tokens;
  const Transformer model = load(path, flags, common, most);
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
  require<ConfigError>(common.device == "cpu",
                       "--device: got ",
                       common.device,
                       ", expected cpu (rebound model inspect reads a file, it runs no model)");
  const Json facts = inspect_model(find_model(flags.model), dtype_named(common.dtype));
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
  CLI::App* verb = app.add_subcommand("model", "Fetch a model, look into it, or hear it");
  verb->require_subcommand(1);
  verb->fallthrough();
  const auto add = [&](const Subverb& sub) {
    CLI::App* added = verb->add_subcommand(sub.name, sub.help);
    added->fallthrough();
    added->add_option("--model", flags->model, kModelHelp);
    added->callback([flags, &common, &run, task = sub.task] {
      run = [flags, &common, task] { task(*flags, common); };
    });
    if (sub.task == show_inspection) return added;
    added->add_option("--memory-limit", flags->memory_limit, kMemoryLimitHelp);
    added
        ->add_option("--prepend-bos", flags->prepend_bos, "auto (as the tokenizer says), yes or no")
        ->check(CLI::IsMember({"auto", "yes", "no"}))
        ->capture_default_str();
    added->add_flag("--transformer-lens-processing",
                    flags->has_transformer_lens_processing,
                    kTransformerLensHelp);
    return added;
  };

  add_model_pull(*verb, common, run);
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
  auto* temperature =
      generate->add_option("--temperature", options.temperature, "0: the likeliest token")
          ->capture_default_str();
  generate
      ->add_flag(
          "--greedy", flags->is_greedy, "The likeliest token each time: the default, said aloud")
      ->excludes(temperature);
  generate
      ->add_option(
          "--top-p", options.top_p, "Draw from the likeliest tokens of this total, in (0, 1]")
      ->capture_default_str();
  generate->add_option("--seed", options.seed, "Of the draws")->capture_default_str();
}

}  // namespace rebound
