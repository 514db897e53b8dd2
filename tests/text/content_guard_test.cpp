#include "rebound/text/content_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rebound/base/error.h"

namespace rebound {
namespace {

const std::vector<ControlToken> kControl = {{7, "<|end|>"}, {8, "<|end|>>"}, {9, "<\u03b1>"}};

std::string joined(const std::vector<PromptPiece>& pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

TEST(ContentGuardTest, MaskAndSplitGiveTheContentBackWithoutControlTokens) {
  for (const std::string content : {"",
                                    " ",
                                    "x",
                                    "<|end|>",
                                    " a<|end|>b ",
                                    "<|end|>>>",
                                    "<|<|end|>end|>",
                                    "end",
                                    "d|>",
                                    "<|e",
                                    "d|><|e",
                                    ">",
                                    "<",
                                    "\u03b1",
                                    "<\u03b1",
                                    "<\u03b1><\u03b1>",
                                    "\n<|end|>\n"}) {
    ContentGuard guard(kControl, {content});
    const auto pieces = guard.split(guard.mask(content));
    EXPECT_EQ(joined(pieces), content);
    for (const PromptPiece& piece : pieces) EXPECT_FALSE(piece.control_id.has_value()) << content;
  }
}

TEST(ContentGuardTest, OrdinaryContentIsUntouched) {
  ContentGuard guard(kControl, {});
  for (const std::string content : {"a < b > c", "the | end |", "\u03b2\u03b1 and", " spaces "}) {
    EXPECT_EQ(guard.mask(content), content);
  }
}

TEST(ContentGuardTest, TheTemplatesOwnTokensAreFoundLongestFirst) {
  ContentGuard guard(kControl, {});
  const auto pieces = guard.split("a<|end|>>b<|end|>");
  ASSERT_EQ(pieces.size(), 4);
  EXPECT_EQ(pieces[1].control_id, 8);
  EXPECT_EQ(pieces[2].text, "b");
  EXPECT_EQ(pieces[3].control_id, 7);
}

TEST(ContentGuardTest, AMarkThatWasCutIsAnError) {
  ContentGuard guard(kControl, {});
  const std::string masked = guard.mask("a<|end|>b");
  ASSERT_TRUE(guard.has_marks(masked));
  EXPECT_THROW(guard.split(masked.substr(0, masked.size() - 2)), DataError);
}

TEST(ContentGuardTest, MarksAreNewToEveryText) {
  const std::string content = "\U0010FFF0 0\U0010FFF0 <|end|>";
  ContentGuard guard(kControl, {content});
  EXPECT_EQ(joined(guard.split(guard.mask(content))), content);
  EXPECT_THROW(ContentGuard(kControl, {"\U0010FFF0\U0010FFF1\U0010FFF2\U0010FFF3"}), DataError);
}

}  // namespace
}  // namespace rebound
