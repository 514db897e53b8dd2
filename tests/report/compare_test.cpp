#include "rebound/report/compare.h"

#include <gtest/gtest.h>

#include <cmath>

#include "report/stored_audit.h"
#include "support/failures.h"

namespace rebound {
namespace {

// Flips of one row, recovered as the list says.
ReportInput run_of(const std::vector<bool>& recovered, int64_t first_id = 0) {
  ReportInput input = small_audit();
  input.summary.rows = {stored_row("attack@20", "encoder", "logit_diff")};
  input.examples.clear();
  input.results.clear();
  for (size_t i = 0; i < recovered.size(); ++i) {
    const auto prompt = static_cast<int64_t>(i);
    input.examples.push_back({.prompt = prompt,
                              .id = concat("p-", first_id + prompt),
                              .is_valid = true,
                              .extra = {{"cluster", prompt}}});
    input.results.push_back(stored_result("attack@20", prompt, recovered[i], 1, Json::object()));
  }
  return input;
}

TEST(CompareTest, PairsExamplesByIdAndTestsTheDifference) {
  std::vector<bool> none(12, false), nine(12, true);
  nine[0] = nine[1] = nine[2] = false;
  const Comparison comparison = compare_runs({{"a", run_of(none)}, {"b", run_of(nine)}});
  ASSERT_EQ(comparison.rows.size(), 1u);
  const RowComparison& row = comparison.rows[0];
  EXPECT_EQ(row.n_both, 12);
  EXPECT_EQ(row.rate_first, 0);
  EXPECT_NEAR(row.rate_second, 0.75, 1e-12);
  EXPECT_NEAR(row.difference.value, 0.75, 1e-12);
  EXPECT_GT(row.difference.low, 0.3);
  EXPECT_NEAR(row.p_value, 2.0 / 512, 1e-12) << "nine one way, none the other: 2 / 2^9";
}

TEST(CompareTest, EqualRunsDoNotDiffer) {
  const std::vector<bool> half = {true, false, true, false};
  const Comparison comparison = compare_runs({{"a", run_of(half)}, {"b", run_of(half)}});
  EXPECT_EQ(comparison.rows[0].difference.value, 0);
  EXPECT_NEAR(comparison.rows[0].difference.high, 0.49, 1e-3);  // z^2 / (4 + z^2)
  EXPECT_EQ(comparison.rows[0].p_value, 1);
  EXPECT_TRUE(comparison.spec.empty());
  EXPECT_TRUE(comparison.environment.empty());
}

TEST(CompareTest, WhatAllRecoverIsOneHundredPercentInTheTable) {
  const std::vector<bool> all(24, true);  // 24 times 1/24 is not 1
  EXPECT_EQ(paired_table(compare_runs({{"a", run_of(all)}, {"b", run_of(all)}})).rows[0][2], "100 %");
}

TEST(CompareTest, ExamplesOfOneRunAloneAreCountedNotCompared) {
  const std::vector<bool> all(4, true);
  const Comparison comparison =
      compare_runs({{"a", run_of(all)}, {"b", run_of(all, 3)}});  // p-0..3, p-3..6
  EXPECT_EQ(comparison.rows[0].n_both, 1);
  EXPECT_EQ(comparison.rows[0].n_only_first, 3);
  EXPECT_EQ(comparison.rows[0].n_only_second, 3);
  const Comparison apart = compare_runs({{"a", run_of(all)}, {"b", run_of(all, 10)}});
  EXPECT_EQ(apart.rows[0].n_both, 0);
  EXPECT_TRUE(std::isnan(apart.rows[0].p_value));
}

TEST(CompareTest, SeveralTriesHaveNoMcNemar) {
  const Comparison comparison = compare_runs({{"a", stored_audit()}, {"b", stored_audit()}});
  for (const RowComparison& row : comparison.rows) {
    EXPECT_EQ(std::isnan(row.p_value), row.row == "random@20" || row.row == "inject@20") << row.row;
  }
}

TEST(CompareTest, WhatWasAskedDifferentlyIsListedByKey) {
  ReportInput a = run_of({true}), b = run_of({true});
  a.spec = {{"seed", 7}, {"defence", {{"edit", {{"value", -5}}}}}, {"model", "/one/m.gguf"}};
  b.spec = {{"seed", 7},
            {"defence", {{"edit", {{"value", -20}}}}},
            {"model", "/two/m.gguf"},
            {"trace", true}};
  b.summary.environment["wall_seconds"] = 3;
  const Comparison comparison = compare_runs({{"a", a}, {"b", b}});
  ASSERT_EQ(comparison.spec.size(), 2u) << "the model is the same file name";
  EXPECT_EQ(comparison.spec[0].key, "defence.edit.value");
  EXPECT_EQ(comparison.spec[0].values, (std::vector<std::string>{"-5", "-20"}));
  EXPECT_EQ(comparison.spec[1].values, (std::vector<std::string>{"–", "true"}));
  EXPECT_TRUE(comparison.environment.empty()) << "costs always differ";
}

TEST(CompareTest, ThreeRunsAreComparedWithTheFirst) {
  const ReportInput run = run_of({true, false});
  const Comparison comparison = compare_runs({{"a", run}, {"b", run}, {"c", run}});
  ASSERT_EQ(comparison.rows.size(), 2u);
  EXPECT_EQ(comparison.rows[1].first, "a");
  EXPECT_EQ(comparison.rows[1].second, "c");
}

TEST(CompareTest, EveryFormatHasTheRow) {
  const Comparison comparison =
      compare_runs({{"weak<b>", run_of({true, false})}, {"strong", run_of({true, true})}});
  for (const std::string& text : {compare_terminal(comparison),
                                  compare_markdown(comparison),
                                  compare_html(comparison),
                                  to_json(comparison).dump()}) {
    EXPECT_NE(text.find("attack@20"), std::string::npos);
    EXPECT_NE(text.find("strong"), std::string::npos);
  }
  EXPECT_EQ(compare_html(comparison).find("weak<b>"), std::string::npos);
  EXPECT_EQ(compare_html(comparison).find("<script"), std::string::npos);
}

TEST(CompareTest, OneRunOrTwoOfOneNameAreRefused) {
  EXPECT_NE(message_of<ConfigError>([] {
              compare_runs({{"a", run_of({true})}});
            }).find("expected two or more"),
            std::string::npos);
  EXPECT_NE(message_of<ConfigError>([] {
              compare_runs({{"a", run_of({true})}, {"a", run_of({true})}});
            }).find("two runs named a"),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
