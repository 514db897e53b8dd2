#include "rebound/text/load.h"

#include <string>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/io/gguf.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

// An empty object when the file is not there. Bad JSON in a model's file is a matter of data.
Json read_optional_json(const fs::path& path) {
  if (!fs::exists(path)) return Json::object();
  const std::string text = read_text_file(path);
  Json json = Json::parse(text, nullptr, false);
  require<DataError>(json.is_object(), path.string(), ": got no JSON object, expected one");
  return json;
}

std::optional<std::string> string_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// "<s>" or {"content": "<s>", ...}.
std::optional<std::string> token_at(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return std::nullopt;
  return found->is_object() ? string_at(*found, "content") : string_at(config, key);
}

SpecialTexts read_special_texts(const fs::path& folder) {
  Json config = read_optional_json(folder / "special_tokens_map.json");
  config.update(read_optional_json(folder / "tokenizer_config.json"));
  return {.bos = token_at(config, "bos_token"),
          .eos = token_at(config, "eos_token"),
          .unk = token_at(config, "unk_token"),
          .pad = token_at(config, "pad_token")};
}

// "eos_token_id": 2, or [128001, 128009], or null.
std::vector<int64_t> end_ids_at(const Json& config) {
  const auto found = config.find("eos_token_id");
  if (found == config.end() || found->is_null()) return {};
  const Json list = found->is_array() ? *found : Json::array({*found});
  std::vector<int64_t> ids;
  for (const Json& id : list) {
    require<DataError>(id.is_number_integer(),
                       "eos_token_id: got ",
                       id.type_name(),
                       ", expected an id or a list of ids");
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

void add_end_ids(const fs::path& folder, Tokenizer& tokenizer) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const Json config = read_optional_json(folder / name);
    with_context((folder / name).string(), [&] { tokenizer.add_end_ids(end_ids_at(config)); });
  }
}

// A text, or [{"name": "default", "template": ...}, ...].
std::optional<std::string> template_in_config(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end() || !found->is_array()) return string_at(config, "chat_template");
  for (const Json& entry : *found) {
    if (entry.is_object() && string_at(entry, "name") == "default") {
      return string_at(entry, "template");
    }
  }
  return std::nullopt;
}

std::optional<std::string> read_folder_template(const fs::path& folder) {
  const fs::path jinja = folder / "chat_template.jinja";
  if (fs::exists(jinja)) return read_text_file(jinja);
  return template_in_config(read_optional_json(folder / "tokenizer_config.json"));
}

GgufVocabulary read_vocabulary(const fs::path& path) {
  const GgufFile file(path);
  return with_context(path.string(), [&] { return read_gguf_vocabulary(file); });
}

std::optional<std::string> text_of(const GgufVocabulary& vocabulary, std::optional<int64_t> id) {
  if (!id) return std::nullopt;
  return vocabulary.tokens.at(static_cast<size_t>(*id));
}

ChatTemplate gguf_template(const GgufVocabulary& vocabulary) {
  return ChatTemplate(*vocabulary.chat_template,
                      {.bos = text_of(vocabulary, vocabulary.bos_id),
                       .eos = text_of(vocabulary, vocabulary.eos_id),
                       .unk = text_of(vocabulary, vocabulary.unk_id),
                       .pad = text_of(vocabulary, vocabulary.pad_id)});
}

}  // namespace

Tokenizer load_tokenizer(const fs::path& model) {
  if (fs::is_directory(model)) {
    Tokenizer tokenizer = Tokenizer::from_file(model / "tokenizer.json", read_special_texts(model));
    add_end_ids(model, tokenizer);
    return tokenizer;
  }
  const GgufVocabulary vocabulary = read_vocabulary(model);
  return with_context(model.string(), [&] { return Tokenizer::from_vocabulary(vocabulary); });
}

std::optional<ChatTemplate> load_chat_template(const fs::path& model) {
  if (!fs::is_directory(model)) {
    const GgufVocabulary vocabulary = read_vocabulary(model);
    if (!vocabulary.chat_template) return std::nullopt;
    return with_context(model.string(), [&] { return gguf_template(vocabulary); });
  }
  const auto source = read_folder_template(model);
  if (!source) return std::nullopt;
  return with_context(model.string(),
                      [&] { return ChatTemplate(*source, read_special_texts(model)); });
}

}  // namespace rebound
