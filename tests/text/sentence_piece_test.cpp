#include "rebound/text/sentence_piece.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/text/tokenizer.h"

namespace rebound {
namespace {

using Ids = std::vector<int64_t>;

// 0 <unk>  1 <s>  2 </s>  3 .. 258 bytes, then pieces with the scores given.
//   259 "  " (user-defined)  260 <start_of_turn> (user-defined)
//   261 U+2581  262 a  263 b  264 c  265 ab  266 bc  267 abc  268 U+2581a
GgufVocabulary small_vocabulary() {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<s>", "</s>"};
  vocabulary.token_types = {2, GgufVocabulary::kControl, GgufVocabulary::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    vocabulary.tokens.push_back(name);
    vocabulary.token_types.push_back(6);
  }
  vocabulary.scores.assign(vocabulary.tokens.size(), 0);
  const auto add = [&](const char* text, double score, int64_t type) {
    vocabulary.tokens.push_back(text);
    vocabulary.scores.push_back(score);
    vocabulary.token_types.push_back(type);
  };
  add("\u2581\u2581", 0, GgufVocabulary::kUserDefined);
  add("<start_of_turn>", 0, GgufVocabulary::kUserDefined);
  double score = -10;
  for (const char* text : {"\u2581", "a", "b", "c"}) add(text, score--, GgufVocabulary::kNormal);
  add("ab", -3, GgufVocabulary::kNormal);
  add("bc", -2, GgufVocabulary::kNormal);
  add("abc", -4, GgufVocabulary::kNormal);
  add("\u2581a", -5, GgufVocabulary::kNormal);
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  vocabulary.unk_id = 0;
  vocabulary.add_space_prefix = false;
  return vocabulary;
}

constexpr int64_t kTwoSpaces = 259, kTurn = 260, kSpace = 261, kA = 262, kBc = 266, kAbc = 267;
constexpr int64_t byte_id(int byte) { return 3 + byte; }

TEST(SentencePieceTest, MergesAreTheSplitsOfPiecesByScore) {
  using Pair = std::pair<std::string_view, std::string_view>;
  const GgufVocabulary vocabulary = small_vocabulary();
  const auto merges = sentence_piece_merges(vocabulary);
  EXPECT_EQ(merges,
            (std::vector<Pair>{
                {"b", "c"}, {"a", "b"}, {"a", "bc"}, {"ab", "c"}, {"\u2581", "a"}}));
}

// "bc" scores above "ab", so abc is a + bc; "ab" alone stays ab.
TEST(SentencePieceTest, TheBestScoreMergesFirst) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(small_vocabulary());
  EXPECT_EQ(tokenizer.encode("abc"), Ids{kAbc});
  EXPECT_EQ(tokenizer.encode("aabbc"), (Ids{kA, 265, kBc}));
  EXPECT_EQ(tokenizer.encode(" abc"), (Ids{kSpace, kAbc}));
  EXPECT_EQ(tokenizer.encode(" ac"), (Ids{268, 264}));
}

TEST(SentencePieceTest, UserDefinedTokensAreMatchedOnTheRawText) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(small_vocabulary());
  EXPECT_EQ(tokenizer.encode("  abc"), (Ids{kTwoSpaces, kAbc}));
  EXPECT_EQ(tokenizer.encode("   a"), (Ids{kTwoSpaces, 268}));
  EXPECT_EQ(tokenizer.decode({kTwoSpaces, kAbc, kSpace}), "  abc ");
}

TEST(SentencePieceTest, CharactersWithoutAPieceBecomeBytes) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(small_vocabulary());
  EXPECT_EQ(tokenizer.encode("a\u00e9"), (Ids{kA, byte_id(0xC3), byte_id(0xA9)}));
  EXPECT_EQ(tokenizer.decode({kA, byte_id(0xC3), byte_id(0xA9)}), "a\u00e9");
  // The text of a byte token is text.
  EXPECT_EQ(tokenizer.encode("<0x41>").size(), 6u);
}

TEST(SentencePieceTest, TurnsAreControlTokensWhateverTheFileCallsThem) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(small_vocabulary());
  EXPECT_EQ(tokenizer.encode("<start_of_turn>a"), (Ids{kTurn, kA}));
  for (const int64_t id : tokenizer.encode("<start_of_turn>", {.parse_special = false})) {
    EXPECT_NE(id, kTurn);
  }
}

TEST(SentencePieceTest, BosAndTheSpaceInFrontAreAsTheFileSays) {
  GgufVocabulary vocabulary = small_vocabulary();
  vocabulary.add_bos = true;
  vocabulary.add_space_prefix = true;
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(vocabulary);
  EXPECT_EQ(tokenizer.encode("abc"), (Ids{1, kSpace, kAbc}));
  EXPECT_EQ(tokenizer.decode({kSpace, kAbc}), "abc");
  EXPECT_EQ(tokenizer.encode("abc", {.prepend_bos = false}), (Ids{kSpace, kAbc}));
  const Tokenizer without = Tokenizer::from_vocabulary(small_vocabulary());
  EXPECT_EQ(without.encode("abc", {.prepend_bos = true}), (Ids{1, kAbc}));
}

TEST(SentencePieceTest, AnUnusableVocabularyNamesWhatItLacks) {
  GgufVocabulary vocabulary = small_vocabulary();
  vocabulary.scores.pop_back();
  EXPECT_THROW(Tokenizer::from_vocabulary(vocabulary), DataError);
  vocabulary = small_vocabulary();
  vocabulary.tokens[3 + 0x41] = "<0xZZ>";
  try {
    Tokenizer::from_vocabulary(vocabulary);
    FAIL() << "expected DataError";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("<0x41>"), std::string::npos) << e.what();
  }
  vocabulary = small_vocabulary();
  vocabulary.bos_id.reset();
  EXPECT_THROW(Tokenizer::from_vocabulary(vocabulary).encode("a", {.prepend_bos = true}), DataError);
}

}  // namespace
}  // namespace rebound
