// Text to token ids and back, by the code that Hugging Face runs (rust/hf over `tokenizers`).
//
//   const Tokenizer tokenizer = load_tokenizer(model_path);   // load.h: GGUF or Hugging Face
//   folder tokenizer.encode("John and Mary");                        // equals HF encode()
//   tokenizer.encode(untrusted, {.parse_special = false});    // never a control token
//
// A control token is an added token that is special or looks like <|...|>: the marks of turns and
// of the end. Encoding, decoding and asking may run on many threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rebound/text/gguf_vocabulary.h"

namespace rebound {

// The texts of tokens with a role; chat templates see them as bos_token, eos_token, ...
struct SpecialTexts {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<std::string> unk;
  std::optional<std::string> pad;
};

struct EncodeOptions {
  // Tokens that the post-processor puts around a text, for example BOS.
  bool add_special_tokens = true;
  // In place of that: BOS in front or not, whatever the file says (TransformerLens prepends it to
  // GPT-2's texts, whose tokenizer does not). Throws DataError if there is no BOS.
  std::optional<bool> prepend_bos = std::nullopt;
  // Whether "<|im_end|>" in the text is that token. If not, it is spelled out, and no text
  // whatever becomes a control token.
  bool parse_special = true;
};

struct ControlToken {
  int64_t id = 0;
  std::string text;
  // White space beside it in a text is left out (lstrip and rstrip of tokenizer.json; Phi-3).
  bool strips_left = false;
  bool strips_right = false;
};

class Tokenizer {
 public:
  // All three throw DataError for content that cannot be used, from_file IoError for a file that
  // cannot be read. `special` may name tokens that the vocabulary lacks; they are then left out.
  static Tokenizer from_file(const std::filesystem::path& tokenizer_json,
                             SpecialTexts special = {});
  static Tokenizer from_json(std::string_view json, SpecialTexts special = {});
  static Tokenizer from_vocabulary(const GgufVocabulary& vocabulary);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // More tokens that end a turn, which a model's files name beside the EOS of the tokenizer. Throws
  // DataError for an id that the vocabulary lacks.
  void add_end_ids(const std::vector<int64_t>& ids);

  // Throws DataError when `text` is not UTF-8.
  std::vector<int64_t> encode(std::string_view text, EncodeOptions options = {}) const;
  // Ids that the vocabulary lacks are left out, as in HF; bytes that are no UTF-8 become U+FFFD.
  std::string decode(const std::vector<int64_t>& ids, bool skip_special = false) const;

  // What one token stands for, " Mary" with its space. Throws DataError for an unknown id.
  std::string token_text(int64_t id) const;
  // The id if `text` is exactly one token.
  std::optional<int64_t> single_token(std::string_view text) const;
  // The id of a vocabulary entry as stored ("\u0120Mary"), special ones included.
  std::optional<int64_t> find_id(std::string_view entry) const;

  int64_t vocabulary_size() const;  // added tokens included
  std::optional<int64_t> bos_id() const;
  bool adds_bos() const;  // encode() puts BOS in front unless told otherwise
  std::optional<int64_t> eos_id() const;
  const std::set<int64_t>& end_ids() const;  // those of add_end_ids
  const SpecialTexts& special_texts() const;
  const std::vector<ControlToken>& control_tokens() const;  // by id

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Tokens that end an assistant's turn: the end tokens that the model's files name, and the
// well-known ends of chat formats.
std::set<int64_t> end_of_turn_tokens(const Tokenizer& tokenizer);

}  // namespace rebound
