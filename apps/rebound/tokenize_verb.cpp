// rebound tokenize: text (or one chat message) to token ids.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/model/transformer.h"
#include "rebound/text/load.h"
#include "verb.h"

namespace rebound {
namespace {

struct TokenizeFlags {
  std::string model;
  std::string text;
  bool is_plain = false;
  bool is_chat = false;
};

std::vector<int64_t> encode_as_chat(const TokenizeFlags& flags, const Tokenizer& tokenizer) {
  const auto chat = load_chat_template(flags.model);
  require<DataError>(chat.has_value(), flags.model, ": got no chat template, expected one");
  return chat->encode_chat(tokenizer, {{"user", flags.text}}, {.add_generation_prompt = true});
}

void print_table(const Tokenizer& tokenizer, const std::vector<int64_t>& ids) {
  for (const int64_t id : ids) {
    const std::string quoted = Json(tokenizer.token_text(id)).dump();
    std::printf("%7lld  %s\n", static_cast<long long>(id), quoted.c_str());
  }
}

void tokenize(TokenizeFlags flags, bool as_json) {
  flags.model = find_model(flags.model);
  const Tokenizer tokenizer = load_tokenizer(flags.model);
  const EncodeOptions options = {.add_special_tokens = !flags.is_plain,
                                 .parse_special = !flags.is_plain};
  const std::vector<int64_t> ids =
      flags.is_chat ? encode_as_chat(flags, tokenizer) : tokenizer.encode(flags.text, options);
  if (as_json) {
    std::printf("%s\n", Json{{"ids", ids}}.dump().c_str());
  } else {
    print_table(tokenizer, ids);
  }
}

}  // namespace

void add_tokenize_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* verb =
      app.add_subcommand("tokenize", "Token ids of a text, as Hugging Face encodes it");
  verb->fallthrough();
  verb->add_option("--model", flags->model, kModelHelp);
  verb->add_option("--text", flags->text, "The text")->required();
  auto* plain = verb->add_flag(
      "--no-special", flags->is_plain, "Neither read special tokens in the text nor add any");
  verb->add_flag(
          "--chat", flags->is_chat, "The text is a user's message in the model's chat format")
      ->excludes(plain);
  verb->callback(
      [flags, &common, &run] { run = [flags, &common] { tokenize(*flags, common.json); }; });
}

}  // namespace rebound
