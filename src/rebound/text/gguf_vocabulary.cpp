#include "rebound/text/gguf_vocabulary.h"

#include <string_view>
#include <unordered_set>

#include "rebound/base/error.h"
#include "rebound/io/gguf.h"

namespace rebound {
namespace {

std::optional<int64_t> read_id(const GgufFile& file, std::string_view name) {
  const std::optional<uint64_t> id = file.integer(concat("tokenizer.ggml.", name));
  if (!id) return std::nullopt;
  require<DataError>(*id <= UINT32_MAX, "tokenizer.ggml.", name, ": got ", *id, ", expected an id");
  return static_cast<int64_t>(*id);
}

void check_id(const GgufVocabulary& vocabulary, std::string_view name, std::optional<int64_t> id) {
  const int64_t count = static_cast<int64_t>(vocabulary.tokens.size());
  require<DataError>(!id || (*id >= 0 && *id < count),
                     "tokenizer.ggml.",
                     name,
                     ": got ",
                     id.value_or(0),
                     ", expected an id below the number of tokens, ",
                     count);
}

}  // namespace

void GgufVocabulary::validate() const {
  require<DataError>(model == "gpt2" || is_sentence_piece(),
                     "tokenizer.ggml.model: got \"",
                     model.substr(0, 80),
                     "\", expected \"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece BPE)");
  require<DataError>(!tokens.empty(), "tokenizer.ggml.tokens: got none, expected a vocabulary");
  require<DataError>(token_types.empty() || token_types.size() == tokens.size(),
                     "tokenizer.ggml.token_type: got ",
                     token_types.size(),
                     " types, expected ",
                     tokens.size(),
                     ", one per token");
  require<DataError>(!is_sentence_piece() || scores.size() == tokens.size(),
                     "tokenizer.ggml.scores: got ",
                     scores.size(),
                     " scores, expected ",
                     tokens.size(),
                     ", one per token");
  const std::unordered_set<std::string_view> distinct(tokens.begin(), tokens.end());
  require<DataError>(distinct.size() == tokens.size(),
                     "tokenizer.ggml.tokens: got ",
                     tokens.size() - distinct.size(),
                     " tokens twice, expected distinct ones");
  check_id(*this, "bos_token_id", bos_id);
  check_id(*this, "eos_token_id", eos_id);
  check_id(*this, "unknown_token_id", unk_id);
  check_id(*this, "padding_token_id", pad_id);
  require<DataError>(!add_bos || bos_id,
                     "tokenizer.ggml.add_bos_token: got true, expected a bos_token_id too");
}

GgufVocabulary read_gguf_vocabulary(const GgufFile& file) {
  GgufVocabulary vocabulary;
  vocabulary.model = file.string("tokenizer.ggml.model").value_or("none");
  vocabulary.pre = file.string("tokenizer.ggml.pre").value_or("default");
  vocabulary.tokens = file.strings("tokenizer.ggml.tokens").value_or(std::vector<std::string>{});
  vocabulary.merges = file.strings("tokenizer.ggml.merges").value_or(std::vector<std::string>{});
  if (vocabulary.is_sentence_piece()) {
    vocabulary.scores = file.floats("tokenizer.ggml.scores").value_or(std::vector<double>{});
    vocabulary.add_space_prefix = file.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
  }
  vocabulary.token_types =
      file.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>{});
  vocabulary.bos_id = read_id(file, "bos_token_id");
  vocabulary.eos_id = read_id(file, "eos_token_id");
  vocabulary.unk_id = read_id(file, "unknown_token_id");
  vocabulary.pad_id = read_id(file, "padding_token_id");
  vocabulary.add_bos =
      file.boolean("tokenizer.ggml.add_bos_token")
          .value_or(vocabulary.pre == "llama-bpe" ||
                    (vocabulary.is_sentence_piece() && vocabulary.bos_id.has_value()));
  vocabulary.chat_template = file.string("tokenizer.chat_template");
  vocabulary.validate();
  return vocabulary;
}

}  // namespace rebound
