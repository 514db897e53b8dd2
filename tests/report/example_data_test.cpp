#include "rebound/report/example_data.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/report/certificate.h"
#include "rebound/report/glossary.h"
#include "rebound/report/reproduce.h"
#include "rebound/report/scope.h"
#include "report/stored_audit.h"

namespace rebound {
namespace {

bool mentions(const std::vector<std::string>& lines, const std::string& part) {
  for (const std::string& line : lines) {
    if (line.find(part) != std::string::npos) return true;
  }
  return false;
}

TEST(ExampleDataTest, ColumnsAreAsLongAsTheirPrompts) {
  const Json data = example_data(stored_audit(), {});
  EXPECT_EQ(data.at("headline"), 0);
  for (const auto& [name, column] : data.at("examples").items())
    EXPECT_EQ(column.size(), 3u) << name;
  for (const Json& row : data.at("rows")) {
    for (const auto& [name, column] : row.at("results").items()) {
      EXPECT_EQ(column.size(), row.at("results").at("prompt").size()) << name;
    }
  }
  EXPECT_EQ(data.at("examples").at("base")[0], 4.568) << "four digits";
  EXPECT_EQ(data.at("rows")[0].at("results").at("drift_pre_rel"), Json({1e-7, 4e-7}));
}

TEST(ExampleDataTest, FeaturesThatMovedMostAreListedByRowAndExample) {
  ReportInput input = stored_audit();
  EXPECT_TRUE(example_data(input, {}).at("moved").empty());
  Json moved = Json::array();
  for (int i = 0; i < 8; ++i)
    moved.push_back({{"site", "blocks.12"}, {"feature", i}, {"shift", 1.0 / (i + 1)}});
  moved.push_back("odd");
  input.results[1].figures["drift_by_feature"] = moved;
  const Json lists = example_data(input, {}).at("moved");
  ASSERT_EQ(lists.size(), 1u);
  EXPECT_EQ(lists[0].at("row"), "attack@20");
  EXPECT_EQ(lists[0].at("prompt"), 1);
  ASSERT_EQ(lists[0].at("features").size(), 5u);
  EXPECT_EQ(lists[0].at("features")[2], Json::array({"blocks.12 · 2", 0.3333}));
  input.summary.defence = {{"clamps", {{{"site", "blocks.12"}, {"direction", "add"}}}}};
  const Json of_direction = example_data(input, {}).at("moved");
  EXPECT_EQ(of_direction[0].at("features")[0][0], "blocks.12 · direction");
}

TEST(ExampleDataTest, SeveralTriesKeepOutcomeScoreAndBudgetAlone) {
  const Json rows = example_data(stored_audit(), {}).at("rows");
  EXPECT_FALSE(rows[0].at("many").get<bool>());
  EXPECT_TRUE(rows[2].at("many").get<bool>());
  EXPECT_FALSE(rows[2].at("results").contains("drift_pre_rel"));
  EXPECT_TRUE(rows[3].at("results").contains("minimal_budget"));
  EXPECT_EQ(rows[3].at("results").at("variant"), Json({"target 0", "target 1"}));
}

TEST(ExampleDataTest, OnlyWhatWasSearchedOrScoredHasAScore) {
  ReportInput input = stored_audit();
  const Json rows = example_data(input, {}).at("rows");
  EXPECT_FALSE(rows[0].at("results").at("score")[0].is_null());
  EXPECT_TRUE(rows[3].at("results").at("score")[0].is_null()) << "a search for the smallest norm";
  input.results[0].termination = "measured";
  EXPECT_TRUE(std::isnan(score_of(input.results[0])));
}

TEST(ExampleDataTest, RedactedDataHoldNoText) {
  const std::string hidden = example_data(stored_audit(), {}).dump();
  for (const char* text : {"secret", "Mary", "John", "Victor", "\"ids\"", "\"text\""})
    EXPECT_EQ(hidden.find(text), std::string::npos) << text;
  const Json shown = example_data(stored_audit(), {.show_text = true});
  EXPECT_EQ(shown.at("examples").at("text")[0], "secret prompt");
  EXPECT_EQ(shown.at("rows")[3].at("results").at("variant")[0], "0: Victor");
}

TEST(ExampleDataTest, StepsPositionsAndRoutesAreThere) {
  const Json data = example_data(stored_audit(), {});
  EXPECT_EQ(data.at("steps").size(), 2u);
  EXPECT_EQ(data.at("steps_left_out"), 0);
  EXPECT_EQ(data.at("positions")[0].at("norms"), Json({3.0, 4.0}));
  EXPECT_EQ(data.at("routes").at("0").at("parts")[0].at("name"), "other features");
}

TEST(ExampleDataTest, StepsPastTheRoomAreLeftOutByWholeExamples) {
  ReportInput input = stored_audit();
  input.traces.clear();
  for (int64_t i = 0; i < 3 * 30000; ++i)
    input.traces.push_back({.prompt = i / 30000, .row = "attack@20", .step = i % 30000});
  const Json data = example_data(input, {});
  EXPECT_EQ(data.at("steps").size(), 30000u);
  EXPECT_EQ(data.at("steps_left_out"), 2);
}

TEST(ScopeTest, SaysWhatWasTestedAndWhatWasNot) {
  const Scope scope = scope_of(stored_audit());
  EXPECT_TRUE(mentions(scope.tested, "21 valid flips of 64 prompts"));
  EXPECT_TRUE(mentions(scope.tested, "controls: random and inject"));
  EXPECT_TRUE(mentions(scope.tested, "norms up to 20"));
  EXPECT_TRUE(mentions(scope.not_tested, "before the clamp"));
  EXPECT_TRUE(mentions(scope.not_tested,
                       "no control: clamp only, projected undo, unclamped and random features"));
  EXPECT_TRUE(mentions(scope.not_tested, "the next token"));
  EXPECT_FALSE(mentions(scope.not_tested, "smallest norm"));
  ReportInput input = stored_audit();
  input.summary.rows[0].threat_model = "before_clamp";
  input.summary.controls["utility"] = {{"kl_to_base", 0.1}};
  EXPECT_FALSE(mentions(scope_of(input).not_tested, "before the clamp"));
  EXPECT_FALSE(mentions(scope_of(input).not_tested, "harmless text"));
}

TEST(ScopeTest, PowerIsNotMissedWhereNothingWasMissed) {
  ReportInput input = stored_audit();
  EXPECT_FALSE(mentions(scope_of(input).not_tested, "power"));
  input.summary.rows[0].recovered = 1;
  EXPECT_TRUE(mentions(scope_of(input).not_tested, "power"));
}

TEST(ScopeTest, EveryVerdictHasAMeaning) {
  for (const char* verdict :
       {"undetermined", "bottleneck at budget 20", "handle", "non-specific", "partial"}) {
    EXPECT_NE(meaning_of_verdict(verdict), "") << verdict;
  }
  EXPECT_EQ(meaning_of_verdict("another"), "");
}

TEST(CertificateTest, TheWorstPromptCountsNotTheMean) {
  const Table table = certificate_table(stored_audit());
  ASSERT_EQ(table.rows.size(), 1u) << "controls and rows without drift stay out";
  EXPECT_EQ(table.rows[0][2], "held");
  EXPECT_EQ(table.rows[0][4], "4e-07");
  EXPECT_EQ(certificate_text(stored_audit()).find("Of 1 rows whose constraint is exact, 1 hold it"),
            0u);
}

TEST(CertificateTest, AnExactRowThatDriftsIsSaidNotToHold) {
  ReportInput input = stored_audit();
  input.results[1].figures["drift_pre_rel"] = 0.02;
  EXPECT_EQ(certificate_table(input).rows[0][2], "NOT held");
  EXPECT_NE(certificate_text(input).find("1 rows whose constraint is exact, 0 hold it"),
            std::string::npos);
  input.results[1].figures = {{"drift_pre_rel", 1e-7}, {"drift_generation_rel", 0.5}};
  EXPECT_EQ(certificate_table(input).rows[0][2], "NOT held");
  input.summary.rows[0].constraint = "penalty";
  EXPECT_EQ(certificate_table(input).rows[0][2], "softly");
  EXPECT_EQ(certificate_text(input), "");
}

TEST(ReproduceTest, FoldersOfAbsolutePathsAreLeftOut) {
  const Json spec = {{"model", "/somewhere/of/mine/model.gguf"},
                     {"sae", {"data/sae", "~/sae", "C:\\x\\sae"}},
                     {"seed", 7}};
  const Json expected = {
      {"model", "…/model.gguf"}, {"sae", {"data/sae", "…/sae", "…/sae"}}, {"seed", 7}};
  EXPECT_EQ(without_folders(spec), expected);
}

TEST(ReproduceTest, CommandsNameTheCommitAndSayWhereTheTreeWasChanged) {
  ReportInput input = small_audit();
  input.summary.environment["rebound"] = "0.1.0 (abc1234-dirty)";
  const std::string html = html_reproduce(input);
  EXPECT_NE(html.find("git checkout abc1234   # and changes"), std::string::npos);
  EXPECT_NE(html.find("rebound audit spec.json --out runs/again"), std::string::npos);
  input.spec = nullptr;
  EXPECT_EQ(html_reproduce(input), "");
}

TEST(GlossaryTest, LabelsOfTablesFindTheirTerm) {
  ASSERT_NE(find_term("Drift pre"), nullptr);
  EXPECT_EQ(find_term("drift pre")->id, "drift");
  EXPECT_EQ(find_term("no such word"), nullptr);
  EXPECT_EQ(html_label("no <such> word"), "no &lt;such&gt; word");
  for (const Term& term : glossary()) {
    EXPECT_EQ(find_term(term.name), &term) << term.name;
    for (const std::string& label : term.labels) EXPECT_EQ(find_term(label), &term) << label;
  }
}

}  // namespace
}  // namespace rebound
