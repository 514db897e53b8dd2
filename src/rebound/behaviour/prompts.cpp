#include "rebound/behaviour/prompts.h"

#include <set>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/base/json.h"

namespace rebound {
namespace {

// One line of a prompt file, read strictly.
class LineReader {
 public:
  LineReader(const Json& json, const std::string& where, const PromptCheck& check)
      : fields_(json, where), where_(where), check_(check) {}

  Prompt read() {
    Prompt prompt;
    prompt.id = fields_.get<std::string>("id", "");
    prompt.text = fields_.get<std::string>("text", "");
    prompt.ids = read_ids(prompt.text);
    prompt.features = read_integers("features");
    prompt.cluster = fields_.get<int64_t>("cluster", -1);
    read_answer("correct", prompt.correct, prompt.correct_id);
    read_answer("wrong", prompt.wrong, prompt.wrong_id);
    fields_.finish();
    demand(prompt.correct_id != prompt.wrong_id, "correct and wrong are the same token");
    demand(!fields_.has("cluster") || prompt.cluster >= 0, "cluster must be >= 0");
    for (const int64_t feature : prompt.features) {
      demand(feature >= 0, "features: got ", feature, ", expected >= 0");
    }
    return prompt;
  }

 private:
  template <class... Parts>
  void demand(bool condition, const Parts&... parts) const {
    require<DataError>(condition, where_, ": ", parts...);
  }

  const Tokenizer& tokenizer_for(const char* key) const {
    demand(check_.tokenizer != nullptr,
           "\"",
           key,
           "\" needs a tokenizer and the model has none; give token ids");
    return *check_.tokenizer;
  }

  std::vector<int64_t> read_integers(const std::string& key) {
    std::vector<int64_t> values;
    const Json list = fields_.get<Json>(key, Json::array());
    demand(list.is_array(), key, ": got ", list.type_name(), ", expected a list of integers");
    for (const Json& value : list) {
      demand(value.is_number_integer(),
             key,
             ": got ",
             value.dump().substr(0, 40),
             ", expected an integer");
      values.push_back(value.get<int64_t>());
    }
    return values;
  }

  std::vector<int64_t> read_ids(const std::string& text) {
    std::vector<int64_t> ids = read_integers("ids");
    const bool has_ids = fields_.has("ids"), has_text = fields_.has("text");
    demand(has_ids || has_text, "got neither \"ids\" nor \"text\", expected one");
    if (has_text && (!has_ids || check_.tokenizer)) {
      std::vector<int64_t> encoded = tokenizer_for("text").encode(text);
      demand(!has_ids || encoded == ids, "\"ids\" are not the tokens of \"text\"");
      ids = std::move(encoded);
    }
    demand(!ids.empty(), "the prompt is empty");
    for (const int64_t id : ids) check_token("ids", id);
    return ids;
  }

  void read_answer(const std::string& key, std::string& text, int64_t& id) {
    const std::string id_key = key + "_id";
    text = fields_.get<std::string>(key, "");
    id = fields_.get<int64_t>(id_key, -1);
    const bool has_text = fields_.has(key), has_id = fields_.has(id_key);
    demand(has_text || has_id, "got neither \"", key, "\" nor \"", id_key, "\", expected one");
    if (has_text && (!has_id || check_.tokenizer)) {
      const int64_t of_text = single_token(key, text);
      demand(!has_id || of_text == id, id_key, ": got ", id, ", but ", key, " is token ", of_text);
      id = of_text;
    }
    check_token(id_key, id);
    if (!has_text && check_.tokenizer) text = check_.tokenizer->token_text(id);
  }

  int64_t single_token(const std::string& key, const std::string& word) const {
    const Tokenizer& tokenizer = tokenizer_for(key.c_str());
    const auto id = tokenizer.single_token(word);
    if (id) return *id;
    const size_t count = tokenizer.encode(word, {.add_special_tokens = false}).size();
    throw DataError(concat(where_,
                           ": ",
                           key,
                           ": got ",
                           Json(word).dump().substr(0, 80),
                           ", which is ",
                           count,
                           " tokens, expected exactly one (mind the leading space)"));
  }

  void check_token(const std::string& key, int64_t id) const {
    int64_t size = check_.vocab_size;
    if (size == 0 && check_.tokenizer) size = check_.tokenizer->vocabulary_size();
    demand(id >= 0 && (size == 0 || id < size),
           key,
           ": got token ",
           id,
           ", expected ",
           size == 0 ? std::string(">= 0") : concat("0..", size - 1));
  }

  ObjectReader fields_;
  std::string where_;
  const PromptCheck& check_;
};

// A prompt file is data: what is wrong with its keys is a DataError, too.
Prompt read_prompt_line(const std::string& line,
                        const std::string& where,
                        const PromptCheck& check) {
  const Json json = parse_json(line, where);
  try {
    return LineReader(json, where, check).read();
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  } catch (const DataError& e) {
    const bool is_located = std::string_view(e.what()).starts_with(where);
    throw DataError(is_located ? e.what() : concat(where, ": ", e.what()));
  }
}

}  // namespace

std::vector<Prompt> read_prompts(const std::filesystem::path& path, const PromptCheck& check) {
  std::istringstream lines(read_text_file(path));
  std::vector<Prompt> prompts;
  std::set<std::string> seen;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(path.string(), ":", number);
    Prompt prompt = read_prompt_line(line, where, check);
    if (prompt.id.empty()) prompt.id = std::to_string(number);
    if (prompt.cluster < 0) prompt.cluster = -number;
    require<DataError>(seen.insert(prompt.id).second,
                       where,
                       ": id ",
                       Json(prompt.id).dump().substr(0, 80),
                       " is used twice");
    prompts.push_back(std::move(prompt));
  }
  require<DataError>(!prompts.empty(), path.string(), ": got no prompts, expected one a line");
  return prompts;
}

std::vector<Prompt> read_prompts(const std::filesystem::path& path, const Tokenizer* tokenizer) {
  return read_prompts(path, PromptCheck{.tokenizer = tokenizer});
}

}  // namespace rebound
