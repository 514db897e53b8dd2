#include "rebound/report/figure.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rebound {
namespace {

TEST(FigureTest, NumbersHaveThreeDigitsAndAbsentOnesADash) {
  EXPECT_EQ(show(0.10823), "0.108");
  EXPECT_EQ(show(20), "20");
  EXPECT_EQ(show(23412.4), "23412");
  EXPECT_EQ(show(1.5e-7), "1.5e-07");
  EXPECT_EQ(show(NAN), "–");
  EXPECT_EQ(percent(0.954), "95 %");
  EXPECT_EQ(percent(0.9965), "99.7 %");
  EXPECT_EQ(percent(1), "100 %");
  EXPECT_EQ(percent_interval(0.79758, 0.99261), "[80 %, 99 %]");
  EXPECT_EQ(percent_interval(NAN, 1), "–");
}

TEST(FigureTest, EstimatesAndCountsReadAsOneFigure) {
  EXPECT_EQ(show_json({{"value", 1.07}, {"ci_low", 0.9}, {"ci_high", 1.2}}), "1.07 [0.9, 1.2]");
  EXPECT_EQ(show_json({{"value", "> 20"}}), "> 20");
  EXPECT_EQ(show_json({{"value", 1.3}, {"ci_low", 1.2}, {"ci_high", nullptr}}), "1.3 [1.2, ∞]");
  EXPECT_EQ(show_json({{"recovered", 23}, {"n", 24}, {"ci_low", 0.798}, {"ci_high", 0.993}}),
            "23/24 (96 %) [80 %, 99 %]");
  EXPECT_EQ(show_json({{"recovered", 0}, {"n_valid", 0}}), "0/0");
  EXPECT_EQ(show_json({3, 17, 4}), "3, 17, 4");
}

TEST(FigureTest, EditsReadAsWords) {
  Json edit = {{"features", {3, 8}},
               {"edit", {{"kind", "set"}, {"value", {-5, 2.5}}, {"when", "active_only"}}},
               {"positions", "all"}};
  EXPECT_EQ(show_json(edit), "features 3, 8 set to -5, 2.5 where active");
  edit["edit"] = {{"kind", "scale"}, {"value", 0}, {"when", "always"}};
  edit["positions"] = {-1};
  EXPECT_EQ(show_json(edit), "features 3, 8 times 0 everywhere, positions: -1");
}

TEST(FigureTest, FitCutsInTheMiddleByCodePoints) {
  EXPECT_EQ(fit("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(fit("abcdefgh", 5), "ab…gh");
  EXPECT_EQ(fit("äöüßäöüß", 5), "äö…üß");
  EXPECT_EQ(display_width(fit(std::string(500, 'x'), 44)), 44u);
}

TEST(FigureTest, ControlCharactersCannotSteerATerminal) {
  EXPECT_EQ(plain("a\x1b[31mb\nc"), "a [31mb c");
}

TEST(FigureTest, EachFormatEscapesItsOwn) {
  EXPECT_EQ(escape_html("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
  EXPECT_EQ(escape_markdown("a|b<i>\n"), "a\\|b&lt;i> ");
  EXPECT_EQ(escape_csv("a,\"b\""), "\"a,\"\"b\"\"\"");
  EXPECT_EQ(escape_csv("plain"), "plain");
  const Json hostile = {{"k", "</script><!--&"}};
  const std::string text = json_for_script(hostile);
  EXPECT_EQ(text.find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(Json::parse(text), hostile);
}

}  // namespace
}  // namespace rebound
