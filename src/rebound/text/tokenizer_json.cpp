#include "rebound/text/tokenizer_json.h"

#include <array>
#include <string_view>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/text/added_tokens.h"
#include "rebound/text/sentence_piece.h"

namespace rebound {
namespace {

// One row per value of tokenizer.ggml.pre.
struct PreTokenizer {
  std::string_view name;
  bool splits_digits = false;  // each digit alone, before the pattern
  std::string_view pattern;    // empty: GPT-2's
  bool normalizes_nfc = false;
  bool ignores_merges = false;  // a piece that is a token is taken whole
};

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array<PreTokenizer, 6> kPreTokenizers = {{
    {.name = "gpt-2", .pattern = ""},
    {.name = "olmo", .pattern = "", .normalizes_nfc = true},  // GPT-NeoX's, as is mpt
    {.name = "mpt", .pattern = "", .normalizes_nfc = true},
    {.name = "smollm", .splits_digits = true, .pattern = ""},
    {.name = "llama-bpe", .pattern = kLlama3Pattern, .ignores_merges = true},
    {.name = "qwen2", .pattern = kQwen2Pattern, .normalizes_nfc = true},
}};

const PreTokenizer& find_pre_tokenizer(const std::string& name) {
  std::string known;
  for (const PreTokenizer& row : kPreTokenizers) {
    if (row.name == name) return row;
    known += concat(known.empty() ? "" : ", ", row.name);
  }
  throw DataError(
      concat("tokenizer.ggml.pre: got \"", name.substr(0, 80), "\", expected one of ", known));
}

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json pre_tokenizer_json(const PreTokenizer& row) {
  Json steps = Json::array();
  if (row.splits_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (!row.pattern.empty()) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", row.pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(byte_level(row.pattern.empty()));
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

Json model_json(const GgufVocabulary& vocabulary, const PreTokenizer& row) {
  Json ids = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) ids[vocabulary.tokens[id]] = id;
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", row.ignores_merges},
          {"vocab", std::move(ids)},
          {"merges", vocabulary.merges}};
}

Json post_processor_of(const GgufVocabulary& vocabulary) {
  return vocabulary.add_bos ? bos_template_json(vocabulary) : byte_level(true);
}

std::string dump(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception&) {
    throw DataError(
        "tokenizer.ggml.tokens or merges: got bytes that are not UTF-8, expected UTF-8");
  }
}

}  // namespace

std::string compose_tokenizer_json(const GgufVocabulary& vocabulary) {
  vocabulary.validate();
  if (vocabulary.is_sentence_piece()) return dump(sentence_piece_json(vocabulary));
  const PreTokenizer& row = find_pre_tokenizer(vocabulary.pre);
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added_tokens_json(vocabulary)},
                     {"normalizer", row.normalizes_nfc ? Json{{"type", "NFC"}} : Json(nullptr)},
                     {"pre_tokenizer", pre_tokenizer_json(row)},
                     {"post_processor", post_processor_of(vocabulary)},
                     {"decoder", byte_level(true)},
                     {"model", model_json(vocabulary, row)}};
  return dump(json);
}

}  // namespace rebound
