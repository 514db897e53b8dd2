// The vocabulary that a GGUF file carries in its metadata, as plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rebound {

class GgufFile;

struct GgufVocabulary {
  // Values of tokenizer.ggml.token_type that matter here.
  static constexpr int64_t kNormal = 1;
  static constexpr int64_t kControl = 3;
  static constexpr int64_t kUserDefined = 4;

  // tokenizer.ggml.model: "gpt2" is byte-level BPE with merges, "llama" a SentencePiece BPE, whose
  // merges follow from the scores.
  std::string model = "gpt2";
  std::string pre;                   // tokenizer.ggml.pre: how text is cut before the merges; gpt2
  std::vector<std::string> tokens;   // by id
  std::vector<std::string> merges;   // "left right", best first; gpt2
  std::vector<double> scores;        // one per token; llama
  std::vector<int64_t> token_types;  // one per token; empty: all normal
  std::optional<int64_t> bos_id;
  std::optional<int64_t> eos_id;
  std::optional<int64_t> eot_id;  // end of a turn, where it is not eos_id
  std::optional<int64_t> eom_id;  // end of a message that calls a tool
  std::optional<int64_t> unk_id;
  std::optional<int64_t> pad_id;
  bool add_bos = false;
  bool add_space_prefix = true;     // a space before the text (Llama, not Gemma); llama
  bool strips_after_added = false;  // white space after an added token is left out (Phi-3); llama
  std::optional<std::string> chat_template;

  bool is_sentence_piece() const { return model == "llama"; }
  int64_t type_of(size_t id) const { return token_types.empty() ? kNormal : token_types[id]; }

  // Throws DataError naming the key: no tokens, another number of types, an id outside, ...
  void validate() const;
};

// Validated. Throws DataError when the file has a vocabulary of another kind.
GgufVocabulary read_gguf_vocabulary(const GgufFile& file);

}  // namespace rebound
