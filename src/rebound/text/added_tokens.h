// Parts of a tokenizer.json that every kind of vocabulary has: tokens matched on the raw text, and
// BOS in front.
#pragma once

#include <string>

#include "rebound/base/json.h"
#include "rebound/text/gguf_vocabulary.h"

namespace rebound {

// The text of a token as it stands in raw text: SentencePiece's user-defined tokens hold spaces,
// which the file may have as U+2581.
std::string raw_text(const GgufVocabulary& vocabulary, size_t id);

// Control tokens, and the turns of Gemma, which some files call user-defined.
bool is_special(const GgufVocabulary& vocabulary, size_t id);

// Control and user-defined tokens.
Json added_tokens_json(const GgufVocabulary& vocabulary);

// BOS before each text; needs bos_id.
Json bos_template_json(const GgufVocabulary& vocabulary);

}  // namespace rebound
