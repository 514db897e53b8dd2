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
  static constexpr int64_t kControl = 3;
  static constexpr int64_t kUserDefined = 4;

  std::string model = "gpt2";        // tokenizer.ggml.model; only byte-level BPE is supported
  std::string pre = "default";       // tokenizer.ggml.pre: how text is cut before the merges
  std::vector<std::string> tokens;   // by id
  std::vector<std::string> merges;   // "left right", best first
  std::vector<int64_t> token_types;  // one per token; empty: all normal
  std::optional<int64_t> bos_id;
  std::optional<int64_t> eos_id;
  std::optional<int64_t> unk_id;
  std::optional<int64_t> pad_id;
  bool add_bos = false;
  std::optional<std::string> chat_template;

  // Throws DataError naming the key: no tokens, another number of types, an id outside, ...
  void validate() const;
};

// Validated. Throws DataError when the file has no byte-level BPE vocabulary.
GgufVocabulary read_gguf_vocabulary(const GgufFile& file);

}  // namespace rebound
