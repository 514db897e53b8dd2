// Conversations to prompts, as `transformers` renders them (Jinja, through rust/hf).
//
//   const auto chat = load_chat_template(model_path);   // load.h
//   chat->encode_chat(tokenizer, {{"user", "Who are you?"}}, {.add_generation_prompt = true});
//
// The template's own text is read with special tokens, the content of messages without: content
// never becomes a control token. Where it holds no text of one, the ids equal those of
// apply_chat_template(tokenize=True).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/text/tokenizer.h"

namespace rebound {

struct ChatMessage {
  std::string role;  // letters, digits, - and _
  std::string content;
};

struct ChatOptions {
  // Ends the prompt where the assistant's answer begins.
  bool add_generation_prompt = false;
};

class ChatTemplate {
 public:
  // Throws DataError naming the line when `source` is no template.
  explicit ChatTemplate(std::string source, SpecialTexts special = {});

  // Throws DataError when the template refuses the messages (raise_exception), runs without end or
  // needs too much memory, and for a role with other characters.
  std::string render(const std::vector<ChatMessage>& messages, ChatOptions options = {}) const;

  std::vector<int64_t> encode_chat(const Tokenizer& tokenizer,
                                   const std::vector<ChatMessage>& messages,
                                   ChatOptions options = {}) const;

  const std::string& source() const { return source_; }

 private:
  std::string source_;
  SpecialTexts special_;
};

}  // namespace rebound
