#include "rebound/behaviour/sequence_similarity.h"

#include <gtest/gtest.h>

#include <string>

#include "rebound/base/json.h"
#include "rebound/behaviour/answer_figures.h"
#include "rebound/behaviour/code_points.h"

namespace rebound {
namespace {

// tools/golden/make_sequence_similarity.py
const Json& golden_pairs() {
  static const Json pairs =
      read_json_file(REBOUND_SOURCE_DIR "/tests/behaviour/golden/sequence_similarity.json");
  return pairs;
}

std::string expanded(const Json& parts) {
  std::string text;
  for (const Json& part : parts) {
    for (int i = 0; i < part[1].get<int>(); ++i) text += part[0].get<std::string>();
  }
  return text;
}

void expect_equal(const std::optional<double>& got, const Json& expected, const Json& pair) {
  ASSERT_EQ(got.has_value(), !expected.is_null()) << pair.dump().substr(0, 200);
  if (!got) return;
  EXPECT_DOUBLE_EQ(*got, expected.get<double>()) << pair.dump().substr(0, 200);
}

TEST(SequenceSimilarityTest, EqualsPythonOnEveryPair) {
  ASSERT_GE(golden_pairs().size(), 40U);
  for (const Json& pair : golden_pairs()) {
    const std::string a = expanded(pair["a"]), b = expanded(pair["b"]);
    expect_equal(sequence_similarity(a, b), pair["ratio"], pair);
    expect_equal(token_jaccard(a, b), pair["jaccard"], pair);
  }
}

TEST(SequenceSimilarityTest, FiguresOfOneTextEqualPython) {
  int negative = 0;
  for (const Json& pair : golden_pairs()) {
    const std::string a = expanded(pair["a"]);
    const bool is_negative = pair["negative_or_degenerate_opening"].get<bool>();
    negative += is_negative ? 1 : 0;
    EXPECT_DOUBLE_EQ(unique_token_ratio(a), pair["unique_token_ratio"].get<double>()) << a;
    EXPECT_DOUBLE_EQ(max_character_ratio(a), pair["max_character_ratio"].get<double>()) << a;
    EXPECT_EQ(has_negative_or_degenerate_opening(a), is_negative) << a.substr(0, 100);
  }
  EXPECT_GE(negative, 8);
}

TEST(SequenceSimilarityTest, RatioOfHandCountedBlocks) {
  EXPECT_DOUBLE_EQ(sequence_ratio(U"abcd", U"bcde"), 0.75);          // "bcd"
  EXPECT_DOUBLE_EQ(sequence_ratio(U"qabxcd", U"abycdf"), 8.0 / 12);  // "ab", "cd"
  EXPECT_DOUBLE_EQ(sequence_ratio(U"", U""), 1);
  EXPECT_DOUBLE_EQ(sequence_ratio(U"a", U""), 0);
}

TEST(SequenceSimilarityTest, PopularCharactersStartNoBlockFromTwoHundredOn) {
  std::u32string ab, ba;
  for (int i = 0; i < 99; ++i) ab += U"ab", ba += U"ba";
  EXPECT_DOUBLE_EQ(sequence_ratio(ab, ba), 2.0 * 197 / 396);  // all but one at each end
  ab += U"ab";
  ba += U"ba";
  EXPECT_DOUBLE_EQ(sequence_ratio(ab, ba), 0);
  EXPECT_DOUBLE_EQ(sequence_ratio(ab, ab), 1);  // beginnings that agree are a block all the same
  // One rare character starts a block that grows over the popular ones.
  EXPECT_DOUBLE_EQ(sequence_ratio(ab + U"z", ba + U"z"), 2.0 / 402);
  EXPECT_DOUBLE_EQ(sequence_ratio(U"z" + ab, U"bz" + ab), 2.0 * 201 / 403);
}

TEST(CodePointsTest, BrokenBytesBecomeReplacementCharacters) {
  EXPECT_EQ(code_points_of("a\xff"
                           "b"),
            std::u32string(U"a\uFFFDb"));
  EXPECT_EQ(code_points_of("\xE4\xB8"), std::u32string(U"\uFFFD\uFFFD"));
  EXPECT_EQ(code_points_of("\xC0\x80"), std::u32string(U"\uFFFD\uFFFD"));          // overlong
  EXPECT_EQ(code_points_of("\xED\xA0\x80"), std::u32string(3, char32_t{0xFFFD}));  // a surrogate
  EXPECT_EQ(code_points_of("a\u00E9\u4E2D\U0001F600"), std::u32string(U"a\u00E9\u4E2D\U0001F600"));
}

}  // namespace
}  // namespace rebound
