#include "rebound/behaviour/degenerate_text.h"

#include <gtest/gtest.h>

#include <string>

#include "rebound/base/error.h"
#include "support/failures.h"

namespace rebound {
namespace {

std::string times(const std::string& text, int n) {
  std::string repeated;
  for (int i = 0; i < n; ++i) repeated += text;
  return repeated;
}

TEST(DegenerateTextTest, FourTimesTheSameWordIsARun) {
  EXPECT_EQ(find_degeneracy("a very very very warm day"), Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy("a very, Very very VERY warm day"), Degeneracy::kWordRun);
  EXPECT_EQ(find_degeneracy("the row 0 0 0 0 0 1 of a matrix"), Degeneracy::kNone);
}

TEST(DegenerateTextTest, LoopIsAPhraseThreeTimesBackToBack) {
  const std::string phrase = "the baker sells warm bread. ";
  EXPECT_EQ(find_degeneracy("Every day " + times(phrase, 2)), Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy("Every day " + times(phrase, 3)), Degeneracy::kLoop);
  // Two words: 12 tokens in all.
  EXPECT_EQ(find_degeneracy("they sang " + times("la di ", 5) + "all day"), Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy("they sang " + times("la di ", 6) + "all day"), Degeneracy::kLoop);
  EXPECT_EQ(find_degeneracy("a table: " + times("1 0 ", 12) + "and so on and on it went"),
            Degeneracy::kNone);
}

TEST(DegenerateTextTest, FewDistinctWordsNeedTwentyTokens) {
  // 7 distinct words in an order without a loop.
  const std::string shuffled =
      "a b c d a c b d b a d c c a d b d c a b a d b c e f g a c d b e a f c g b d e a f b g c d e";
  EXPECT_EQ(find_degeneracy(shuffled), Degeneracy::kFewWords);
  EXPECT_EQ(find_degeneracy("a b c d a c b d b a d c c a d b d c a"), Degeneracy::kNone);
}

TEST(DegenerateTextTest, OneCharacterMayNotDominate) {
  EXPECT_EQ(find_degeneracy("a long hmmmmmmmmmm there, then nothing for a while"),
            Degeneracy::kOneCharacter);
  EXPECT_EQ(find_degeneracy("a long hmmmmmmmmm there, then nothing for a while"),
            Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy("so ...... many ...... dots"), Degeneracy::kOneCharacter);
  EXPECT_EQ(find_degeneracy("so . many . dots . here . and . there"), Degeneracy::kNone);
}

TEST(DegenerateTextTest, SymbolsAreNoWords) {
  EXPECT_EQ(find_degeneracy("ab <>{}[]()=+-*/%$#@ !? cd"), Degeneracy::kSymbols);
  EXPECT_EQ(find_degeneracy("\u4E2D\u6587\u5B57\u7684\u4E00\u662F\u4E0D\u4E86\u4EBA\u6211\u5728"
                            "\u6709\u4ED6\u8FD9\u4E3A\u4E4B\u5927\u6765\u4EE5\u4E2A"),
            Degeneracy::kNone);
}

TEST(DegenerateTextTest, UnrelatedMeansNoWordInCommonWithTheRequest) {
  const std::string answer =
      "Painters of the north mixed oil with pigments, and their layers dried slowly over weeks.";
  ASSERT_GE(answer.size(), 80U);
  EXPECT_EQ(find_degeneracy(answer, "How was oil paint made?"), Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy(answer, "What is painting?"), Degeneracy::kNone);  // "paint"
  EXPECT_EQ(find_degeneracy(answer, "How do I bake the bread?"), Degeneracy::kUnrelated);
  EXPECT_EQ(find_degeneracy(answer), Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy(answer, "How do you do it?"), Degeneracy::kNone);  // nothing to share
  EXPECT_EQ(find_degeneracy(answer.substr(0, 79), "How do I bake bread?"), Degeneracy::kNone);
}

TEST(DegenerateTextTest, NothingIsNotDegenerate) {
  EXPECT_EQ(find_degeneracy(""), Degeneracy::kNone);
  EXPECT_EQ(find_degeneracy("!"), Degeneracy::kNone);
}

TEST(DegenerateTextTest, OptionsNameFieldAndValue) {
  EXPECT_EQ(message_of<ConfigError>([] { find_degeneracy("a", "", {.word_run = 1}); }),
            "DegeneracyOptions.word_run must be >= 2, got 1");
  EXPECT_EQ(message_of<ConfigError>([] { find_degeneracy("a", "", {.max_character_ratio = -1}); }),
            "DegeneracyOptions.max_character_ratio must be in [0, 1], got -1");
}

}  // namespace
}  // namespace rebound
