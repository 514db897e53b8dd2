#include "rebound/audit/answer_summarise.h"

#include <gtest/gtest.h>

#include "audit_fixture.h"

namespace rebound {
namespace {

constexpr int kFlips = 24;

class AnswerSummariseTest : public RunFolderTest {
 protected:
  AnswerSummariseTest() {
    spec.rows = {{"forward_projection"}, {"none"}, {"forward_projection", RowKind::kMinimalBudget}};
  }

  // Budgets around `per_nat` times each flip's gap.
  void put_budgets(const std::string& row, double per_nat, double gap) {
    FinishedBatch batch{.row = row};
    for (int i = 0; i < kFlips; ++i) {
      StoredResult result{.prompt = i, .recovered = true};
      result.figures = {{"minimal_budget", (per_nat + 0.01 * (i % 5)) * gap}, {"gap", gap}};
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
      result.figures = {{"verdict", answers ? "on_topic" : declines ? "refused" : "degenerate"},
                        {"non_refusal", !declines},
                        {"degenerate", !answers && !declines},
                        {"base_like", answers && i % 2 == 0},
                        {"strict_base_like", false},
                        {"drift_pre_rel", drift},
                        {"drift_generation_rel", 2 * drift},
                        {"floor_violation", 0.5 * drift}};
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
    for (const char* name : {"forward_projection/answer/per_prompt@40", "none/answer/per_prompt@40",
                             "random/forward_projection/answer/per_prompt@40",
                             "inject/forward_projection/answer/per_prompt@40", "forward_projection/minimal_budget/per_prompt@40",
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

TEST_F(AnswerSummariseTest, AnswersThatTheSameSearchWritesAsEasilyAreNonSpecific) {
  put("forward_projection/answer/per_prompt@40", 24, 0, 1e-7);
  put("none/answer/per_prompt@40", 24, 0, 0.2);
  put("random/forward_projection/answer/per_prompt@40", 1, 23, 1e-7);
  put("inject/forward_projection/answer/per_prompt@40", 23, 1, 1e-7);
  EXPECT_EQ(summarised().verdict, "non-specific");
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
  EXPECT_TRUE(summary.rows[4].extra.at("base_like").is_null());  // budgets say nothing about answers
  EXPECT_NEAR(summary.headline.at("specificity_per_nat").at("value").get<double>(), 2.5, 0.02);
  EXPECT_NE(summary.verdict_text.find("another request"), std::string::npos);
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
