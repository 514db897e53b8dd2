#include "rebound/scaling/byte_tokenizer.h"

#include <gtest/gtest.h>

#include "rebound/text/tokenizer.h"

namespace rebound {
namespace {

TEST(ByteTokenizerTest, IdsAreTheBytes) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_tokenizer_json());
  EXPECT_EQ(tokenizer.vocabulary_size(), kByteVocabulary);
  const std::string text = "Mary's  café\n\n\t— 12 \x7f\x01 \xF0\x9F\x99\x82!";
  std::vector<int64_t> bytes;
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  EXPECT_EQ(tokenizer.encode(text), bytes);
  EXPECT_EQ(tokenizer.decode(bytes), text);
}

TEST(ByteTokenizerTest, EveryByteHasAnEntryOfItsOwn) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_tokenizer_json());
  for (int64_t first = 0; first < 0x80; ++first) {
    EXPECT_EQ(tokenizer.encode(std::string(1, static_cast<char>(first))),
              std::vector<int64_t>{first});
  }
  for (int64_t lead = 0xC2; lead <= 0xDF; ++lead) {
    const std::string two = {static_cast<char>(lead), static_cast<char>(0x80 + lead % 0x40)};
    EXPECT_EQ(tokenizer.encode(two), (std::vector<int64_t>{lead, 0x80 + lead % 0x40}));
  }
}

}  // namespace
}  // namespace rebound
