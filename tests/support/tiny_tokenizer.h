// A byte-level BPE tokenizer for tests: printable ASCII, one token a character, plus `words`
// (" Mary") as single tokens. Other words stay spelled out.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/text/tokenizer.h"

namespace rebound {

inline Tokenizer tiny_tokenizer(const std::vector<std::string>& words) {
  const auto entry = [](char c) { return c == ' ' ? std::string("\u0120") : std::string(1, c); };
  Json vocab = Json::object(), merges = Json::array();
  const auto add = [&](const std::string& text) {
    const bool is_new = !vocab.contains(text);
    if (is_new) vocab[text] = vocab.size();
    return is_new;
  };
  for (char c = ' '; c < 127; ++c) add(entry(c));
  for (const std::string& word : words) {
    std::string prefix = entry(word.at(0));
    for (size_t i = 1; i < word.size(); ++i) {
      const std::string next = entry(word[i]);
      if (add(prefix + next)) merges.push_back(prefix + " " + next);
      prefix += next;
    }
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json model = {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
  return Tokenizer::from_json(Json{
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"pre_tokenizer", byte_level},
      {"decoder", byte_level},
      {"model", model}}.dump());
}

}  // namespace rebound
