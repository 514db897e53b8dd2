#include "rebound/audit/answer_summarise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "audit_fixture.h"
#include "rebound/audit/result_figures.h"

namespace rebound {
namespace {

constexpr int kFlips = 24;

class AnswerSummariseTest : public RunFolderTest {
 protected:
  AnswerSummariseTest() {
    spec.rows = {{"forward_projection"}, {"none"}, {"forward_projection", RowKind::kMinimalBudget}};
  }

  // Budgets around `per_nat` times each flip's gap; NaN: censored.
  void put_budgets(const std::string& row, double per_nat, double gap) {
    FinishedBatch batch{.row = row};
    for (int i = 0; i < kFlips; ++i) {
      StoredResult result{.prompt = i, .recovered = !std::isnan(per_nat)};
      result.figures = {{"minimal_budget", finite_or_null((per_nat + 0.01 * (i % 5)) * gap)},
                        {"gap", gap}};
      batch.results.push_back(std::move(result));
    }
    store().put_batch(batch);
  }

  // The first `on_topic` flips answer, the next `refused` refuse, the rest are degenerate.
  void put(const std::string& row, int on_topic, int refused, double drift) {
    FinishedBatch batch{.row = row};
    for (int i = 0; i < kFlips; ++i) {
      const bool answers = i < on_topic, declines = !answers && i < on_topic + refused;
      StoredResult result{.prompt = i, .recovered = answers};
      result.figures = {{"verdict",
                         answers    ? "on_topic"
                         : declines ? "refused"
                                    : "degenerate"},
                        {"non_refusal", !declines},
                        {"degenerate", !answers && !declines},
                        {"base_like", answers && i % 2 == 0},
                        {"strict_base_like", false},
                        {"drift_pre_rel", finite_or_null(drift)},
                        {"drift_generation_rel", finite_or_null(2 * drift)},
                        {"floor_violation", finite_or_null(0.5 * drift)}};
      batch.results.push_back(std::move(result));
    }
    store().put_batch(batch);
  }
  Store& store() {
    if (!store_) {
      std::filesystem::create_directories(folder());
      store_ = std::make_unique<Store>(Store::create(folder() / "run.sqlite"));
    }
    return *store_;
  }
  AuditSummary summarised() {
    AnswerSummaryInput input{spec, store(), {}, {}, 30, kFlips, 3};
    for (const char* name : {"forward_projection/answer/per_prompt@40",
                             "none/answer/per_prompt@40",
                             "random/forward_projection/answer/per_prompt@40",
                             "inject/forward_projection/answer/per_prompt@40",
                             "forward_projection/minimal_budget/per_prompt@40",
                             "inject/forward_projection/minimal_budget/per_prompt@40"}) {
      RowSummary head;
      head.name = name;
      input.heads.push_back(head);
    }
    RowSummary power;
    power.name = "power/forward_projection/answer/per_prompt@40";
    power.control = "power";
    input.heads.push_back(power);
    for (int i = 0; i < 30; ++i) input.clusters.push_back(i);
    return summarise_answers(input);
  }

  AnswerAuditSpec spec = default_answer_spec("refusal", Preset::kQuick);
  std::unique_ptr<Store> store_;
};

TEST_F(AnswerSummariseTest, CountsOnTopicAnswersAloneAsRecovered) {
  put("forward_projection/answer/per_prompt@40", 18, 4, 1e-7);
  const AuditSummary summary = summarised();
  const RowSummary& row = summary.rows.front();
  EXPECT_EQ(row.recovered, 18);
  EXPECT_DOUBLE_EQ(row.extra.at("non_refusal").get<double>(), 20.0 / 24);
  EXPECT_DOUBLE_EQ(row.extra.at("degenerate").get<double>(), 2.0 / 24);
  EXPECT_DOUBLE_EQ(row.extra.at("base_like").get<double>(), 9.0 / 24);
  EXPECT_DOUBLE_EQ(row.extra.at("drift_generation_rel").get<double>(), 2e-7);
  EXPECT_EQ(summary.extra.at("n_valid_refused"), kFlips);
  EXPECT_EQ(summary.extra.at("n_valid_broken"), 3);
  EXPECT_EQ(summary.to_json().at("n_valid_broken"), 3);
}

// Without minimal budgets nothing says what it costs to write another answer.
TEST_F(AnswerSummariseTest, WithoutMinimalBudgetsItIsPartial) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("none/answer/per_prompt@40", 24, 0, 0.2);
  put("random/forward_projection/answer/per_prompt@40", 1, 23, 1e-7);
  put("inject/forward_projection/answer/per_prompt@40", 23, 1, 1e-7);
  const AuditSummary summary = summarised();
  EXPECT_EQ(summary.verdict, "partial");
  EXPECT_NE(summary.verdict_text.find("another answer"), std::string::npos) << summary.verdict_text;
}

TEST_F(AnswerSummariseTest, AnswersThatCostNoMorePerNatOfGapAreNonSpecific) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("none/answer/per_prompt@40", 24, 0, 0.2);
  put("random/forward_projection/answer/per_prompt@40", 1, 23, 1e-7);
  put_budgets("forward_projection/minimal_budget/per_prompt@40", 20, 0.5);
  put_budgets("inject/forward_projection/minimal_budget/per_prompt@40", 20, 0.5);
  EXPECT_EQ(summarised().verdict, "non-specific");
}

// Injections are searched up to four times the cap of 40, recoveries up to 40: a censored one of a
// gap of 0.5 costs 320 or 80 a nat at least.
TEST_F(AnswerSummariseTest, CensoredSearchesAreBoundedByTheirOwnCaps) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put_budgets("forward_projection/minimal_budget/per_prompt@40", NAN, 0.5);
  put_budgets("inject/forward_projection/minimal_budget/per_prompt@40", 20, 0.5);
  const Json few = summarised().headline.at("specificity_per_nat");
  EXPECT_EQ(few.at("ci_low"), 0.0);
  EXPECT_NEAR(few.at("ci_high").get<double>(), 20.02 / 80, 0.001);
}

TEST_F(AnswerSummariseTest, CensoredInjectionsCostFourTimesTheCapOrMore) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put_budgets("forward_projection/minimal_budget/per_prompt@40", 80, 0.5);
  put_budgets("inject/forward_projection/minimal_budget/per_prompt@40", NAN, 0.5);
  const Json many = summarised().headline.at("specificity_per_nat");
  EXPECT_NEAR(many.at("ci_low").get<double>(), 320 / 80.02, 0.002);
  EXPECT_TRUE(many.at("ci_high").is_null());
}

// Unrelated answers start further away: failing more often at one budget says nothing by itself.
TEST_F(AnswerSummariseTest, FewerInjectionsAtOneBudgetAloneAreNoHandle) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("none/answer/per_prompt@40", 24, 0, 0.2);
  put("random/forward_projection/answer/per_prompt@40", 1, 23, 1e-7);
  put("inject/forward_projection/answer/per_prompt@40", 4, 20, 1e-7);
  put_budgets("forward_projection/minimal_budget/per_prompt@40", 20, 0.5);
  put_budgets("inject/forward_projection/minimal_budget/per_prompt@40", 20, 2);
  EXPECT_EQ(summarised().verdict, "non-specific");
}

TEST_F(AnswerSummariseTest, InjectionThatCostsMorePerNatOfGapIsAHandle) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("none/answer/per_prompt@40", 24, 0, 0.2);
  put("random/forward_projection/answer/per_prompt@40", 1, 23, 1e-7);
  put("inject/forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put_budgets("forward_projection/minimal_budget/per_prompt@40", 20, 0.5);
  put_budgets("inject/forward_projection/minimal_budget/per_prompt@40", 50, 0.5);
  const AuditSummary summary = summarised();
  EXPECT_EQ(summary.verdict, "handle");
  EXPECT_TRUE(
      summary.rows[4].extra.at("base_like").is_null());  // budgets say nothing about answers
  EXPECT_NEAR(summary.headline.at("specificity_per_nat").at("value").get<double>(), 2.5, 0.02);
  EXPECT_NE(summary.verdict_text.find("another request"), std::string::npos);
}

TEST_F(AnswerSummariseTest, WhatWasNotMeasuredIsNullAndPartial) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("random/forward_projection/answer/per_prompt@40", 1, 23, 1e-7);
  const auto expect_unknown_binding = [&] {
    const AuditSummary summary = summarised();
    EXPECT_TRUE(summary.controls.at("constraint_binds_on_examples").is_null());
    EXPECT_EQ(summary.verdict, "partial");
    EXPECT_NE(summary.verdict_text.find("binds"), std::string::npos) << summary.verdict_text;
  };
  expect_unknown_binding();  // no row `none`
  put("none/answer/per_prompt@40", 24, 0, NAN);
  expect_unknown_binding();  // its drift is not defined
}

TEST_F(AnswerSummariseTest, ARowWithoutConstraintOfAnotherBudgetSaysNothingOfThisOne) {
  spec.rows[1].budget = 80;
  put("none/answer/per_prompt@80", 24, 0, 0.2);
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  EXPECT_TRUE(summarised().controls.at("constraint_binds_on_examples").is_null());
}

// Ablated readings have no norm of their own; the drift in units of their scale is defined.
TEST_F(AnswerSummariseTest, AblatedReadingsBindByTheirScale) {
  put("forward_projection/answer/per_prompt@40", 24, 0, NAN);
  FinishedBatch free{.row = "none/answer/per_prompt@40"};
  for (int i = 0; i < kFlips; ++i) {
    StoredResult result{.prompt = i, .recovered = true};
    result.figures = {{"drift_pre_rel", nullptr}, {"drift_pre_scaled", i < 18 ? 0.2 : 1e-4}};
    free.results.push_back(std::move(result));
  }
  store().put_batch(free);
  EXPECT_EQ(summarised().controls.at("constraint_binds_on_examples"), 0.75);
}

TEST_F(AnswerSummariseTest, AConstraintThatNeverBindsConcludesNothing) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("none/answer/per_prompt@40", 24, 0, 1e-4);
  EXPECT_EQ(summarised().verdict, "undetermined");
}

TEST_F(AnswerSummariseTest, WithAttackersAtTheInputAloneNothingIsConcluded) {
  spec.rows = {AnswerRowSpec::of("gcg")};
  RowSummary head;
  head.name = spec.rows[0].name();
  head.threat_model = "input";
  FinishedBatch batch{.row = head.name};
  for (int i = 0; i < kFlips; ++i) {
    StoredResult result{.prompt = i, .recovered = true};
    result.figures = {{"suffix_norm_max", 2.0 + i % 2}, {"suffix_sinks", 0}, {"n_runs", 9}};
    batch.results.push_back(std::move(result));
  }
  store().put_batch(batch);
  const AuditSummary summary =
      summarise_answers({spec, store(), {head}, std::vector<int64_t>(30, 0), 30, kFlips, 0});
  EXPECT_EQ(summary.verdict, "undetermined");
  EXPECT_NE(summary.verdict_text.find("at the input"), std::string::npos);
  EXPECT_EQ(summary.rows[0].recovered, kFlips);
  EXPECT_DOUBLE_EQ(summary.rows[0].extra.at("suffix_norm_max").get<double>(), 2.5);
}

TEST_F(AnswerSummariseTest, TheSummaryFileReadsBack) {
  put("forward_projection/answer/per_prompt@40", 10, 14, 1e-7);
  const AuditSummary summary = summarised();
  EXPECT_EQ(AuditSummary::from_json(summary.to_json()).to_json(), summary.to_json());
}

TEST_F(AnswerSummariseTest, AMissedLeakLeavesTheVerdictUndetermined) {
  put("forward_projection/answer/per_prompt@40", 0, 24, 1e-7);
  put("none/answer/per_prompt@40", 0, 24, 0.2);
  EXPECT_NE(summarised().verdict, "undetermined");
  put("power/forward_projection/answer/per_prompt@40", 21, 3, 0);
  const AuditSummary summary = summarised();
  EXPECT_EQ(summary.verdict, "undetermined");
  EXPECT_NE(summary.verdict_text.find("planted"), std::string::npos) << summary.verdict_text;
}

TEST_F(AnswerSummariseTest, AFoundLeakChangesNothing) {
  put("forward_projection/answer/per_prompt@40", 0, 24, 1e-7);
  put("none/answer/per_prompt@40", 0, 24, 0.2);
  const std::string verdict = summarised().verdict;
  put("power/forward_projection/answer/per_prompt@40", 22, 2, 0);
  EXPECT_EQ(summarised().verdict, verdict);
}

}  // namespace
}  // namespace rebound
