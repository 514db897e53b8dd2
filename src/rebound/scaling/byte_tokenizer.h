// The tokenizer of the family trained here: 256 tokens, id = byte. Losses are nats per byte.
#pragma once

#include <cstdint>
#include <string>

namespace rebound {

constexpr int64_t kByteVocabulary = 256;

// A tokenizer.json: byte-level BPE without merges, no special tokens.
std::string byte_tokenizer_json();

}  // namespace rebound
