// A SentencePiece BPE vocabulary (Gemma, Llama 2) as tokenizer.json.
//
// The file has scores and no merges. SentencePiece joins, of all neighbours that make a piece, the
// pair whose piece has the best score, the leftmost of equal ones; so each split of a normal piece
// into two is a merge, in the order of the whole's score. Characters without a piece become bytes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/text/gguf_vocabulary.h"

namespace rebound {

// Best first. Only normal pieces are made and joined.
std::vector<std::pair<std::string_view, std::string_view>> sentence_piece_merges(
    const GgufVocabulary& vocabulary);

// Throws DataError when one of the 256 byte tokens <0x00> .. <0xFF> is missing.
Json sentence_piece_json(const GgufVocabulary& vocabulary);

}  // namespace rebound
