// A tokenizer.json for the vocabulary of a GGUF file, as the original repository has it.
//
//                  gpt2                                  llama (SentencePiece)
//   normalizer     NFC for qwen2, olmo, mpt, else none   space to U+2581, after one more in front
//                                                        where the file says so
//   pre_tokenizer  by `pre`, see the table in the        none
//                  source; then bytes to characters
//   model          BPE                                   BPE with byte fallback; a pair of pieces
//                                                        merges by the score of what it makes
//   added tokens   control (special) and user-defined tokens, matched on the raw text, longest
//   first post_processor BOS in front when the file asks for it
#pragma once

#include <string>

#include "rebound/text/gguf_vocabulary.h"

namespace rebound {

// Throws DataError for an unknown `pre`, a `llama` vocabulary without its 256 byte tokens, or text
// that is not UTF-8.
std::string compose_tokenizer_json(const GgufVocabulary& vocabulary);

}  // namespace rebound
