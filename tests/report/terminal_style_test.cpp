#include "rebound/report/terminal_style.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rebound/report/figure.h"

namespace rebound {
namespace {

constexpr double kNotMeasuredBar = std::numeric_limits<double>::quiet_NaN();
const TerminalStyle kPlainStyle = {.width = 40};
const TerminalStyle kAsciiStyle = {.width = 40, .is_ascii = true};

TEST(TerminalStyleTest, AnIntervalIsSolidBelowDarkToTheShareLightAboveIt) {
  // Ten columns, their middles at 0.05, 0.15, ...: low 0.32, share 0.5, high 0.81.
  const RateBar bar = {.rate = 0.5, .low = 0.32, .high = 0.81};
  EXPECT_EQ(interval_bar(bar, 10, kPlainStyle), "███▓▓░░░··");
  EXPECT_EQ(interval_bar(bar, 10, kAsciiStyle), "###==---..");
}

TEST(TerminalStyleTest, TheEndsOfAnIntervalMayBeTheEndsOfTheBar) {
  EXPECT_EQ(interval_bar({0, 0, 0.2}, 10, kAsciiStyle), "--........");
  EXPECT_EQ(interval_bar({1, 0.8, 1}, 10, kAsciiStyle), "########==");
  EXPECT_EQ(interval_bar({0.5, kNotMeasuredBar, kNotMeasuredBar}, 4, kAsciiStyle), "##..");
  EXPECT_EQ(interval_bar({kNotMeasuredBar, 0, 1}, 4, kAsciiStyle), "    ");
}

TEST(TerminalStyleTest, ALengthIsDrawnToAnEighthOfAColumn) {
  EXPECT_EQ(length_bar(0.5, 4, kPlainStyle), "██  ");
  EXPECT_EQ(length_bar(0.5 + 3.0 / 32, 4, kPlainStyle), "██▍ ");
  EXPECT_EQ(length_bar(-0.2, 4, kPlainStyle), "    ");
  EXPECT_EQ(length_bar(7, 4, kPlainStyle), "████");
  EXPECT_EQ(length_bar(0.5, 4, kAsciiStyle), "##  ");
}

TEST(TerminalStyleTest, ASparklineReachesTheTopAtItsLargestValue) {
  EXPECT_EQ(sparkline({1, 2, 4, 8, 0, std::nan("")}, kPlainStyle), "▂▃▅█  ");
  EXPECT_EQ(sparkline({8, 1}, kAsciiStyle), "@.");
  EXPECT_EQ(sparkline({0, 0}, kPlainStyle), "  ");
}

TEST(TerminalStyleTest, ParagraphsBreakAtWordsAndLongWordsWhereTheyMust) {
  EXPECT_EQ(paragraph("one two", "  ", kPlainStyle), "  one two\n");
  EXPECT_EQ(paragraph(std::string(30, 'a') + " " + std::string(30, 'b'), "  ", kPlainStyle),
            "  " + std::string(30, 'a') + "\n  " + std::string(30, 'b') + "\n");
  EXPECT_EQ(paragraph(std::string(50, 'a'), "  ", kPlainStyle),
            "  " + std::string(38, 'a') + "\n  " + std::string(12, 'a') + "\n");
  EXPECT_EQ(paragraph("", "  ", kPlainStyle), "");
  EXPECT_EQ(flow({"a b", "c"}, " ", kPlainStyle), " a b   c\n");
}

TEST(TerminalStyleTest, AsciiHasAWordOrASignForEverything) {
  EXPECT_EQ(spoken("a – b → ∞ ✓ é", kAsciiStyle), "a - b -> inf + ?");
  EXPECT_EQ(spoken("a – b", kPlainStyle), "a – b");
  EXPECT_EQ(ascii_if_wished("\x1b[1m–\x1b[0m\n", kAsciiStyle), "\x1b[1m-\x1b[0m\n");
}

TEST(TerminalStyleTest, NoTextSteersATerminal) {
  // C0, DEL, C1 (as UTF-8), line separator, a right-to-left override and an isolate.
  EXPECT_EQ(plain("a\x1b[2Jb\x7f\xC2\x9B"
                  "31mc\xE2\x80\xA8"
                  "d\xE2\x80\xAE"
                  "e\xE2\x81\xA6"
                  "f"),
            "a [2Jb  31mc d e f");
  EXPECT_EQ(plain("\xC2\xA0 é – \xE2\x80\xA6"), "\xC2\xA0 é – …");
}

TEST(TerminalStyleTest, ColoursAreThereOnlyWhereTheTerminalHasThem) {
  EXPECT_EQ(painted("x", Paint::kGood, {.has_color = true}), "\x1b[32mx\x1b[0m");
  EXPECT_EQ(painted("x", Paint::kGood, {}), "x");
  EXPECT_EQ(painted("x", Paint::kNone, {.has_color = true}), "x");
}

TEST(TerminalStyleTest, WidthsStayWithinWhatCanBeLaidOut) {
  EXPECT_EQ((TerminalStyle{.width = 3}).within_limits().width, TerminalStyle::kNarrowest);
  EXPECT_EQ((TerminalStyle{.width = 9999}).within_limits().width, TerminalStyle::kWidest);
  EXPECT_EQ((TerminalStyle{.width = 80}).within_limits().width, 80u);
}

}  // namespace
}  // namespace rebound
