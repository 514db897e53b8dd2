#include "rebound/report/terminal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <regex>
#include <sstream>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/report/figure.h"
#include "report/stored_audit.h"

namespace rebound {
namespace {

using Shown = std::function<std::string(const TerminalStyle&)>;

std::vector<std::string> terminal_lines(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// An audit whose every name is long and hostile.
ReportInput unruly_audit() {
  ReportInput input = stored_audit();
  AuditSummary& summary = input.summary;
  const std::string evil = "\n\x1b[2J\xC2\x9B" + std::string(200, 'n') + " – ü ";
  summary.behaviour = summary.model = summary.verdict = evil;
  summary.verdict_text = evil + evil;
  for (size_t i = 0; i < summary.rows.size(); ++i) summary.rows[i].name += evil;
  for (StoredResult& result : input.results) {
    result.row += evil;
    result.termination = evil;
    if (!result.variant.empty()) result.variant += evil;
  }
  summary.rows[3].target = evil;
  summary.attribution["parts"][0]["name"] = evil;
  summary.attribution["sites"] = {{{"name", evil}, {"norm_mean", 3.0}},
                                  {{"name", "b"}, {"norm_mean", 4.0}}};
  input.examples[0].id = input.examples[0].text = input.examples[0].split = evil;
  input.examples[0].extra["note"] = evil;
  for (TracePoint& point : input.traces) point.row += evil;
  for (PositionNorms& of : input.positions) of.row += evil;
  input.results[0].figures["drift_by_feature"] = {{{"site", evil}, {"feature", 3}, {"shift", 0.5}}};
  input.routes[0]["sites"] = {{{"name", evil}, {"norm", 2.0}}};
  return input;
}

std::vector<Shown> everything_of(const ReportInput& input) {
  return {[=](const TerminalStyle& style) { return terminal_report(input, style); },
          [=](const TerminalStyle& style) { return terminal_rows(input, style); },
          [=](const TerminalStyle& style) { return terminal_example(input, "0", style, {true}); },
          [=](const TerminalStyle& style) { return terminal_example(input, "1", style); }};
}

TEST(TerminalTest, ASmallAuditReadsExactlySo) {
  EXPECT_EQ(terminal_report(small_audit()),
            read_text_file(std::filesystem::path(REBOUND_SOURCE_DIR) /
                           "tests/report/golden/small_audit.txt"));
}

TEST(TerminalTest, NoLineIsWiderThanTheTerminalAndNothingSteersIt) {
  for (const ReportInput& input : {unruly_audit(), stored_audit(), small_audit()}) {
    for (const Shown& shown : everything_of(input)) {
      if (input.examples.size() < 2) continue;
      for (const size_t width : {40, 63, 64, 80, 100, 120, 200}) {
        for (const bool is_ascii : {false, true}) {
          const std::string text = shown({.width = width, .is_ascii = is_ascii});
          for (const std::string& line : terminal_lines(text)) {
            EXPECT_LE(display_width(line), width) << line;
            EXPECT_EQ(plain(line), line);
            if (is_ascii) {
              EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](char c) { return c > 0; }))
                  << line;
            }
          }
        }
      }
    }
  }
}

TEST(TerminalTest, ColoursChangeNoCharacter) {
  const std::regex code("\x1b\\[[0-9]+m");
  for (const Shown& shown : everything_of(stored_audit())) {
    const std::string coloured = shown({.width = 80, .has_color = true});
    EXPECT_NE(coloured.find('\x1b'), std::string::npos);
    EXPECT_EQ(std::regex_replace(coloured, code, ""), shown({.width = 80}));
  }
}

TEST(TerminalTest, TheVerdictAndItsSentenceComeFirst) {
  const std::string text = terminal_report(small_audit(), {.width = 80});
  const size_t verdict = text.find("Verdict: non-specific\n");
  const size_t sentence = text.find("So does any other name.");
  const size_t rows = text.find("Attack");
  EXPECT_LT(verdict, sentence);
  EXPECT_LT(sentence, rows);
  EXPECT_LT(rows, text.find("Not tested: "));
}

TEST(TerminalTest, AnAuditWithoutRowsStillHasItsVerdict) {
  ReportInput input;
  input.summary.verdict = "undetermined";
  EXPECT_NE(terminal_report(input).find("Verdict: undetermined\n"), std::string::npos);
  EXPECT_NO_THROW(terminal_rows(input));
}

TEST(TerminalTest, ColumnsThatDoNotFitAreNamed) {
  const std::string narrow = terminal_report(small_audit(), {.width = 80});
  EXPECT_NE(narrow.find("Left out at this width: s/prompt"), std::string::npos);
  const std::string wide = terminal_report(small_audit(), {.width = 120});
  EXPECT_EQ(wide.find("Left out"), std::string::npos);
  EXPECT_NE(wide.find("s/prompt"), std::string::npos);
}

TEST(TerminalTest, UnderSixtyFourColumnsARowTakesSeveralLinesAndLosesNothing) {
  const std::string text = terminal_report(small_audit(), {.width = 40});
  for (const char* part :
       {"none/logit_diff/per_prompt@20\n", "21/21", "[80 %, 100 %]", "drift pre 0.31", "norm 19.9"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
}

TEST(TerminalTest, MinimalBudgetsAreDrawnOverOneAxis) {
  // Norm per nat of gap: recover 2 and (censored), inject 0.5 and 1.5.
  const std::string text = terminal_report(stored_audit(), {.width = 100});
  EXPECT_NE(text.find("norm per nat of gap, 0.5 to 2, logarithmic."), std::string::npos) << text;
  EXPECT_NE(text.find("n 2   censored 1"), std::string::npos);
  // Twenty columns of log(2 / 0.5): 0.5 in the first, 2 in the last, 1.5 in column 15.
  EXPECT_NE(text.find("  " + std::string(19, ' ') + "█  recover"), std::string::npos) << text;
  EXPECT_NE(text.find("  █" + std::string(14, ' ') + "█    "), std::string::npos) << text;
}

TEST(TerminalTest, SitesAreDrawnWhereThereAreSeveral) {
  ReportInput input = small_audit();
  EXPECT_EQ(terminal_report(input).find("layer by layer"), std::string::npos);
  input.summary.attribution["sites"] = {{{"name", "blocks.1"}, {"norm_mean", 3.0}},
                                        {{"name", "blocks.2"}, {"norm_mean", 6.0}}};
  const std::string text = terminal_report(input, {.width = 64});
  EXPECT_NE(text.find("blocks.1  ███████         norm 3"), std::string::npos) << text;
  EXPECT_NE(text.find("blocks.2  ██████████████  norm 6"), std::string::npos) << text;
}

TEST(TerminalTest, RowsHaveEveryFigureAndNothingThatWasNotMeasured) {
  const std::string text = terminal_rows(small_audit(), {.width = 100});
  for (const char* part : {"#1 none/logit_diff/per_prompt@20",
                           "#4 random · encoder",
                           "attack, after clamp, per prompt",
                           "control, after clamp, per prompt",
                           "the verdict rests on this row",
                           "norm 19.9",
                           "s/prompt 0.0123",
                           "Can this budget write anything at all?"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  EXPECT_EQ(text.find("KL to base"), std::string::npos);
}

TEST(TerminalTest, AnExampleIsFoundByIdOrNumberAndRedacted) {
  const ReportInput input = stored_audit();
  const std::string text = terminal_example(input, "p-0", {.width = 80});
  EXPECT_EQ(text, terminal_example(input, "0", {.width = 80}));
  for (const char* part : {"p-0\n",
                           "valid flip: yes",
                           "without the defence: score 4.57",
                           "with it: score -1",
                           "Text: redacted",
                           "✓ #1 attack@20",
                           "drift 1e-07",
                           "3 steps, goal",
                           "1 of 2 tries",
                           "2 of 2 tries   minimal budget 3 to 9",
                           "2 positions, first to last; largest norm 4",
                           "other features",
                           "objective 1.5 → 0.5"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_EQ(text.find("secret"), std::string::npos);
  EXPECT_EQ(text.find("Victor"), std::string::npos);
  const std::string shown = terminal_example(input, "p-0", {.width = 80}, {.show_text = true});
  EXPECT_NE(shown.find("Text: secret prompt"), std::string::npos);
  EXPECT_NE(shown.find("2 tokens: 7 8"), std::string::npos);
}

TEST(TerminalTest, AnExampleThatNoRowTriedSaysWhy) {
  const std::string text = terminal_example(stored_audit(), "p-2");
  EXPECT_NE(text.find("No row tried it"), std::string::npos);
  EXPECT_NE(text.find("Not recorded"), std::string::npos);
}

TEST(TerminalTest, FeaturesThatMovedAreListedLargestFirst) {
  ReportInput input = stored_audit();
  input.results[0].figures["drift_by_feature"] = {
      {{"site", "blocks.12"}, {"feature", 812}, {"shift", 0.5}},
      {{"site", "blocks.14"}, {"feature", 3}, {"shift", 0.25}},
      "odd"};
  const std::string text = terminal_example(input, "p-0", {.width = 64});
  EXPECT_NE(
      text.find("Which defended features moved most\n  attack@20\n"
                "  blocks.12 812  ██████████████  0.5\n  blocks.14 3    ███████         0.25\n"),
      std::string::npos)
      << text;
}

TEST(TerminalTest, AnUnknownExampleNamesSomeThatThereAre) {
  try {
    terminal_example(stored_audit(), "p-9\x1b[2J");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(),
                 "--example: got p-9 [2J, expected the id or number of one of 3 examples, such as "
                 "p-0, p-1, p-2");
  }
}

}  // namespace
}  // namespace rebound
