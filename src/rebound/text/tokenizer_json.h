// A tokenizer.json for the vocabulary of a GGUF file, as the original repository has it.
//
//   normalizer     NFC for qwen2, else none
//   pre_tokenizer  by `pre`, see the table in the source; then bytes to characters (ByteLevel)
//   model          BPE
//   added tokens   control (special) and user-defined tokens
//   post_processor BOS in front when the file asks for it
#pragma once

#include <string>

#include "rebound/text/gguf_vocabulary.h"

namespace rebound {

// Throws DataError for an unknown `pre` or text that is not UTF-8.
std::string compose_tokenizer_json(const GgufVocabulary& vocabulary);

}  // namespace rebound
