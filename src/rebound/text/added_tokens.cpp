#include "rebound/text/added_tokens.h"

#include <algorithm>

namespace rebound {
namespace {

// As in Phi-3's own repository, and in llama.cpp.
bool strips_right(const GgufVocabulary& vocabulary, const std::string& text) {
  return vocabulary.strips_after_added && text != "<unk>" && text != "<s>" &&
         text != "<|endoftext|>";
}

}  // namespace

std::string raw_text(const GgufVocabulary& vocabulary, size_t id) {
  std::string text = vocabulary.tokens[id];
  if (!vocabulary.is_sentence_piece() || vocabulary.type_of(id) != GgufVocabulary::kUserDefined) {
    return text;
  }
  const std::string_view mark = "\u2581";
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    text.replace(at, mark.size(), " ");
  }
  return text;
}

bool is_special(const GgufVocabulary& vocabulary, size_t id) {
  const std::string& text = vocabulary.tokens[id];
  return vocabulary.type_of(id) == GgufVocabulary::kControl || text == "<start_of_turn>" ||
         text == "<end_of_turn>";
}

Json added_tokens_json(const GgufVocabulary& vocabulary) {
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.token_types.size(); ++id) {
    const int64_t type = vocabulary.token_types[id];
    const bool is_added = type == GgufVocabulary::kControl || type == GgufVocabulary::kUserDefined;
    if (!is_added || vocabulary.tokens[id].empty()) continue;
    added.push_back({{"id", id},
                     {"content", raw_text(vocabulary, id)},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", strips_right(vocabulary, vocabulary.tokens[id])},
                     {"normalized", false},
                     {"special", is_special(vocabulary, id)}});
  }
  return added;
}

Json bos_template_json(const GgufVocabulary& vocabulary) {
  const std::string& bos = vocabulary.tokens.at(static_cast<size_t>(vocabulary.bos_id.value()));
  const Json bos_piece = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
  const auto text_piece = [](const char* name, int type_id) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type_id}}}};
  };
  const Json bos_token = {{"id", bos}, {"ids", {*vocabulary.bos_id}}, {"tokens", {bos}}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({bos_piece, text_piece("A", 0)})},
          {"pair", Json::array({bos_piece, text_piece("A", 0), bos_piece, text_piece("B", 1)})},
          {"special_tokens", {{bos, bos_token}}}};
}

}  // namespace rebound
