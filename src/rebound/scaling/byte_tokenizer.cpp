#include "rebound/scaling/byte_tokenizer.h"

#include "rebound/base/json.h"

namespace rebound {
namespace {

std::string utf8(int code_point) {  // below U+0800
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | (code_point >> 6)),
          static_cast<char>(0x80 | (code_point & 0x3F))};
}

// Byte-level BPE writes printable bytes of Latin-1 as themselves, the others as U+0100, U+0101, ...
bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

}  // namespace

std::string byte_tokenizer_json() {
  Json vocabulary = Json::object();
  int renamed = 0x100;
  for (int byte = 0; byte < kByteVocabulary; ++byte) {
    vocabulary[utf8(stands_for_itself(byte) ? byte : renamed++)] = byte;
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  return Json{{"version", "1.0"},
              {"added_tokens", Json::array()},
              {"pre_tokenizer", byte_level},
              {"decoder", byte_level},
              {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}}
      .dump();
}

}  // namespace rebound
