#include "rebound/text/sentence_piece.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <unordered_set>

#include "rebound/base/error.h"
#include "rebound/text/added_tokens.h"

namespace rebound {
namespace {

struct Merge {
  double score;
  std::string_view left, right;
};

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

void require_bytes(const GgufVocabulary& vocabulary) {
  const std::unordered_set<std::string_view> tokens(vocabulary.tokens.begin(),
                                                    vocabulary.tokens.end());
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    require<DataError>(tokens.count(name) > 0,
                       "tokenizer.ggml.tokens: got no ",
                       name,
                       ", expected all 256 byte tokens of a SentencePiece vocabulary");
  }
}

Json replace_json(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json normalizer_json(const GgufVocabulary& vocabulary) {
  const Json spaces = replace_json(" ", "\u2581");
  if (!vocabulary.add_space_prefix) return spaces;
  const Json prefix = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  return {{"type", "Sequence"}, {"normalizers", Json::array({prefix, spaces})}};
}

Json decoder_json(const GgufVocabulary& vocabulary) {
  Json steps = Json::array(
      {replace_json("\u2581", " "), Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}});
  if (vocabulary.add_space_prefix) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json model_json(const GgufVocabulary& vocabulary) {
  Json ids = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) ids[raw_text(vocabulary, id)] = id;
  require<DataError>(
      ids.size() == vocabulary.tokens.size(),
      "tokenizer.ggml.tokens: got two tokens of the same raw text, expected distinct ones");
  Json merges = Json::array();
  for (const auto& [left, right] : sentence_piece_merges(vocabulary)) {
    merges.push_back(concat(left, " ", right));
  }
  Json unknown = nullptr;
  if (vocabulary.unk_id) unknown = vocabulary.tokens[static_cast<size_t>(*vocabulary.unk_id)];
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", true},
          {"ignore_merges", false},
          {"vocab", std::move(ids)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::vector<std::pair<std::string_view, std::string_view>> sentence_piece_merges(
    const GgufVocabulary& vocabulary) {
  std::unordered_set<std::string_view> pieces;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const bool is_joinable =
        vocabulary.type_of(id) == GgufVocabulary::kNormal && token.find(' ') == std::string::npos;
    if (is_joinable) pieces.insert(token);
  }
  std::vector<Merge> merges;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string_view token = vocabulary.tokens[id];
    if (!pieces.count(token)) continue;
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if (!starts_character(token[cut])) continue;
      const std::string_view left = token.substr(0, cut), right = token.substr(cut);
      if (pieces.count(left) && pieces.count(right)) {
        merges.push_back({vocabulary.scores[id], left, right});
      }
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return a.score > b.score;
  });
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  pairs.reserve(merges.size());
  for (const Merge& merge : merges) pairs.emplace_back(merge.left, merge.right);
  return pairs;
}

Json sentence_piece_json(const GgufVocabulary& vocabulary) {
  require_bytes(vocabulary);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens_json(vocabulary)},
          {"normalizer", normalizer_json(vocabulary)},
          {"pre_tokenizer", nullptr},
          {"post_processor", vocabulary.add_bos ? bos_template_json(vocabulary) : Json(nullptr)},
          {"decoder", decoder_json(vocabulary)},
          {"model", model_json(vocabulary)}};
}

}  // namespace rebound
