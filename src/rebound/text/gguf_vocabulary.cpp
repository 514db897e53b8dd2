#include "rebound/text/gguf_vocabulary.h"

#include <algorithm>
#include <cctype>
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

// A name of the cut, gpt2's alone. Files without one are older than the key; only those of
// architectures that ever had one cut can be read.
std::string read_pre(const GgufFile& file, bool is_byte_level) {
  const std::string pre = file.string("tokenizer.ggml.pre").value_or("");
  if (!is_byte_level || (!pre.empty() && pre != "default")) return pre;
  const std::string architecture = file.string("general.architecture").value_or("");
  if (architecture == "gpt2") return "gpt-2";
  if (architecture == "gptneox") return "olmo";
  throw DataError(concat("tokenizer.ggml.pre: got ",
                         pre.empty() ? "none" : "\"default\"",
                         ", expected a name of how text is cut, without which ids would be wrong; "
                         "convert the model anew with a newer llama.cpp"));
}

// The format has no key for it; llama.cpp goes by the name.
bool is_phi3(const GgufFile& file) {
  std::string name = file.string("general.name").value_or("");
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return file.string("general.architecture") == "phi3" || name.find("phi-3") != std::string::npos ||
         name.find("phi3") != std::string::npos;
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
  check_id(*this, "eot_token_id", eot_id);
  check_id(*this, "eom_token_id", eom_id);
  check_id(*this, "unknown_token_id", unk_id);
  check_id(*this, "padding_token_id", pad_id);
  require<DataError>(!add_bos || bos_id,
                     "tokenizer.ggml.add_bos_token: got true, expected a bos_token_id too");
}

GgufVocabulary read_gguf_vocabulary(const GgufFile& file) {
  GgufVocabulary vocabulary;
  vocabulary.model = file.string("tokenizer.ggml.model").value_or("none");
  vocabulary.pre = read_pre(file, vocabulary.model == "gpt2");
  vocabulary.tokens = file.strings("tokenizer.ggml.tokens").value_or(std::vector<std::string>{});
  vocabulary.merges = file.strings("tokenizer.ggml.merges").value_or(std::vector<std::string>{});
  if (vocabulary.is_sentence_piece()) {
    vocabulary.scores = file.floats("tokenizer.ggml.scores").value_or(std::vector<double>{});
    vocabulary.add_space_prefix = file.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
    vocabulary.strips_after_added = is_phi3(file);
  }
  vocabulary.token_types =
      file.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>{});
  vocabulary.bos_id = read_id(file, "bos_token_id");
  vocabulary.eos_id = read_id(file, "eos_token_id");
  vocabulary.eot_id = read_id(file, "eot_token_id");
  vocabulary.eom_id = read_id(file, "eom_token_id");
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
