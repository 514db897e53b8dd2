// Tokenizer and chat template of a model: a .gguf file, or a Hugging Face folder.
//
//   folder/tokenizer.json          vocabulary and rules
//   folder/tokenizer_config.json   bos_token, eos_token, ...; chat_template (text or a named list)
//   folder/chat_template.jinja     if there, wins over the one in tokenizer_config.json
//   folder/generation_config.json  eos_token_id, one or a list: more ends of a turn
//   folder/config.json             the same
//
// add_bos_token and add_eos_token of tokenizer_config.json say nothing here: as in transformers 5,
// the post-processor of tokenizer.json decides.
#pragma once

#include <filesystem>
#include <optional>

#include "rebound/text/chat_template.h"
#include "rebound/text/tokenizer.h"

namespace rebound {

// Throws IoError when a file cannot be read and DataError when it cannot be used, naming it.
Tokenizer load_tokenizer(const std::filesystem::path& model);

// Nothing when the model has no template.
std::optional<ChatTemplate> load_chat_template(const std::filesystem::path& model);

}  // namespace rebound
