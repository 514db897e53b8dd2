#include "rebound/audit/summarise.h"

#include <cmath>
#include <fstream>
#include <sstream>

#include "audit/audit_fixture.h"
#include "rebound/audit/controls.h"

namespace rebound {
namespace {

constexpr const char* kHeadlineRow = "encoder_decoder/logit_diff/per_prompt@8";
constexpr const char* kMinimal = "encoder_decoder/minimal_budget/per_prompt@8";
constexpr const char* kShared = "encoder_decoder/logit_diff/shared@8";

StoredResult result_of(int64_t prompt,
                       bool recovered,
                       Json figures = Json::object(),
                       std::string variant = "") {
  return {.prompt = prompt,
          .variant = std::move(variant),
          .recovered = recovered,
          .score = recovered ? 1.0 : -1.0,
          .recheck_score = recovered ? 1.0 : -1.0,
          .steps = 10,
          .seconds = 0.5,
          .termination = "max_steps",
          .figures = std::move(figures)};
}

std::vector<int64_t> own_clusters(int64_t n) {
  std::vector<int64_t> clusters(static_cast<size_t>(n));
  for (size_t i = 0; i < clusters.size(); ++i) clusters[i] = static_cast<int64_t>(i);
  return clusters;
}

// Wilson 23 of 24 -> [0.79758, 0.99261].
TEST(SummariseRowTest, ARateHasItsWilsonInterval) {
  std::vector<StoredResult> results;
  for (int64_t i = 0; i < 24; ++i) results.push_back(result_of(i, i != 5));
  const RowSummary row = summarise_row({}, results, own_clusters(24));
  EXPECT_EQ(row.n_valid, 24);
  EXPECT_EQ(row.recovered, 23);
  EXPECT_DOUBLE_EQ(row.rate, 23.0 / 24);
  EXPECT_NEAR(row.ci_low, 0.79758, 1e-5);
  EXPECT_NEAR(row.ci_high, 0.99261, 1e-5);
}

TEST(SummariseRowTest, FiguresAreMeansOverTheExamplesThatHaveThem) {
  std::vector<StoredResult> results = {
      result_of(
          0,
          true,
          {{"norm", 2}, {"drift_pre_l2", 0.5}, {"reactivated_fraction", 0}, {"kl_to_base", 0.1}}),
      result_of(1,
                true,
                {{"norm", 4},
                 {"drift_pre_l2", nullptr},
                 {"reactivated_fraction", 0.5},
                 {"kl_to_base", 0.3}}),
      result_of(
          2,
          false,
          {{"norm", 6}, {"drift_pre_l2", 1.5}, {"reactivated_fraction", 0}, {"kl_to_base", 0.2}})};
  results[0].recheck_score = -0.1;  // the float32 run disagrees
  results[1].recheck_score = NAN;
  const RowSummary row = summarise_row({}, results, own_clusters(3));
  EXPECT_DOUBLE_EQ(row.norm_mean, 4);
  EXPECT_DOUBLE_EQ(row.drift_pre_l2, 1);
  EXPECT_NEAR(row.kl_to_base, 0.2, 1e-12);
  EXPECT_DOUBLE_EQ(row.reactivated_fraction, 0.5 / 3);
  EXPECT_DOUBLE_EQ(row.zero_reactivation, 1.0 / 3);
  EXPECT_DOUBLE_EQ(row.seconds_per_prompt, 0.5);
  EXPECT_TRUE(std::isnan(row.drift_post_rel));
  EXPECT_EQ(row.extra.at("rechecked_float32"), 2);
  EXPECT_EQ(row.extra.at("disagreements_float32"), 1);
}

// Two prompts with many draws each are two observations, however many draws.
TEST(SummariseRowTest, TriesOfOnePromptAreNotIndependent) {
  std::vector<StoredResult> results;
  for (int draw = 0; draw < 50; ++draw) {
    results.push_back(result_of(0, true, {}, concat("draw ", draw)));
    results.push_back(result_of(1, false, {}, concat("draw ", draw)));
  }
  const RowSummary row = summarise_row({}, results, own_clusters(2));
  EXPECT_DOUBLE_EQ(row.rate, 0.5);
  EXPECT_EQ(row.ci_low, 0);
  EXPECT_EQ(row.ci_high, 1);
  EXPECT_EQ(row.extra.at("prompts"), 2);
}

TEST(SummariseRowTest, NoResultsAreNoRate) {
  const RowSummary row = summarise_row({}, {}, {});
  EXPECT_EQ(row.n_valid, 0);
  EXPECT_TRUE(std::isnan(row.rate));
  const Json json = to_json(row);
  for (const char* key : {"rate", "ci_low", "ci_high", "norm_mean", "kl_to_base"})
    EXPECT_TRUE(json.at(key).is_null());
}

class SummariseTest : public RunFolderTest {
 protected:
  SummariseTest() : spec_(toy_spec("toy-leaky")) {
    spec_.controls = {.is_on = true, .random_draws = 4, .inject_targets = 1, .shared_budgets = {8}};
  }
  void SetUp() override {
    RunFolderTest::SetUp();
    store_ = std::make_unique<Store>(Store::create(folder()));
  }
  void TearDown() override {
    store_.reset();
    RunFolderTest::TearDown();
  }

  void put(const std::string& row, std::vector<StoredResult> results) {
    store_->put_batch({.row = row, .batch = 0, .results = std::move(results)});
  }
  // 40 flips of which `recovered` come back and on which `binding` features of row `none` bind.
  void put_attack(int64_t recovered, int64_t binding = 1) {
    std::vector<StoredResult> attack, free;
    for (int64_t i = 0; i < 40; ++i) {
      attack.push_back(result_of(i, i < recovered));
      free.push_back(result_of(i, true, {{"binding_features", binding}}));
    }
    put(kHeadlineRow, attack);
    put("none/logit_diff/per_prompt@8", free);
  }

  // 40 flips; 30 come back, 1 of 4 random draws does on each; the constraint binds on 32; recovery
  // costs 2 per nat of gap, injection 3; the shared delta brings back 20, the wrong rule 10.
  void put_everything() {
    std::vector<StoredResult> attack, random, recover, inject, shared, wrong;
    for (int64_t i = 0; i < 40; ++i) {
      attack.push_back(result_of(i, i < 30, {{"binding_features", i < 32 ? 2 : 0}, {"norm", 8}}));
      for (int draw = 0; draw < 4; ++draw)
        random.push_back(result_of(i, draw == 0, {}, concat("draw ", draw)));
      const double gap = 1 + 0.1 * static_cast<double>(i);
      recover.push_back(result_of(i, true, {{"gap", gap}, {"minimal_budget", 2 * gap}}));
      inject.push_back(result_of(i, true, {{"gap", 2 * gap}, {"minimal_budget", 6 * gap}}));
      shared.push_back(result_of(i, i < 20));
      wrong.push_back(result_of(i, i < 10, {{"is_own_answer", false}}, " Tom"));
    }
    put(kHeadlineRow, attack);
    put("none/logit_diff/per_prompt@8", attack);
    put(concat("random/", kHeadlineRow), random);
    put(kMinimal, recover);
    put(concat("inject/", kMinimal, "/unrelated"), inject);
    put(kShared, shared);
    put(concat("inject/", kShared), wrong);
  }

  AuditSummary summary(int64_t n_valid = 40) { return summary_of(own_clusters(64), n_valid); }

  AuditSummary summary_of(const std::vector<int64_t>& clusters, int64_t n_valid = 40) {
    SummaryInput input{spec_, *store_, {}, clusters, 64, n_valid};
    for (const RowSpec& row : spec_.rows) input.heads.push_back(head_of(row));
    RowSpec minimal = spec_.headline();
    minimal.kind = RowKind::kMinimalBudget;
    input.heads.push_back(head_of(minimal));
    for (const Row& row : control_rows(spec_)) input.heads.push_back(row.head);
    return summarise(input);
  }

  AuditSpec spec_;
  std::unique_ptr<Store> store_;
};

TEST_F(SummariseTest, TheVerdictRestsOnHandMadeNumbers) {
  put_everything();
  const AuditSummary found = summary();
  EXPECT_EQ(found.n_prompts, 64);
  EXPECT_EQ(found.n_valid, 40);
  EXPECT_EQ(found.verdict, "handle");
  EXPECT_NEAR(found.headline.at("above_random").at("value").get<double>(), 0.75 - 0.25, 1e-12);
  const Json& specificity = found.headline.at("specificity_per_nat_unrelated");
  for (const char* key : {"value", "ci_low", "ci_high"})
    EXPECT_NEAR(specificity.at(key).get<double>(), 1.5, 1e-9);
  EXPECT_NEAR(found.controls.at("constraint_binds_on_examples").get<double>(), 32.0 / 40, 1e-12);
  EXPECT_EQ(found.controls.at("random_hits_at_least_once").at("recovered"), 40);
  EXPECT_EQ(found.headline.at("recovery").at("recovered"), 30);
  // gaps 1.0 .. 4.9 have the median 2.95
  EXPECT_EQ(found.headline.at("minimal_budget_to_recover").at("value"), "5.9");
  EXPECT_EQ(found.headline.at("minimal_budgets").size(), 80u);
  const Json& shared = found.headline.at("shared_delta").at(0);
  EXPECT_EQ(shared.at("held_out_recovery"), 0.5);
  EXPECT_EQ(shared.at("wrong_rule"), 0.25);
  EXPECT_EQ(shared.at("wrong_rule_answer"), " Tom");
}

TEST_F(SummariseTest, APromptWhoseAnswerIsTheWrongRulesOwnIsNoTestOfIt) {
  std::vector<StoredResult> right, wrong;
  for (int64_t i = 0; i < 40; ++i) {
    right.push_back(result_of(i, i < 20));
    wrong.push_back(result_of(i, i < 20, {{"is_own_answer", i < 15}}));
  }
  put(kShared, right);
  put(concat("inject/", kShared), wrong);
  const Json shared = summary().headline.at("shared_delta").at(0);
  EXPECT_EQ(shared.at("wrong_rule"), 5.0 / 25);
  EXPECT_EQ(shared.at("above_wrong_rule").at("value"), 0.0);  // on the prompts that both have
}

TEST_F(SummariseTest, CensoredInjectionsAreKnownToCostTheirCapOrMore) {
  put_everything();
  std::vector<StoredResult> censored;
  for (int64_t i = 0; i < 40; ++i)
    censored.push_back(result_of(i, false, {{"gap", 2}, {"minimal_budget", nullptr}}));
  put(concat("inject/", kMinimal, "/gap_matched"), censored);
  const AuditSummary found = summary();
  const Json& median = found.headline.at("minimal_budget_to_inject_gap_matched");
  EXPECT_EQ(median.at("value"), "> 8");
  EXPECT_EQ(median.at("n_censored"), 40);
  // Recovery costs 2 a nat; within a cap of 8 and a gap of 2 an injection is known to cost 4 or
  // more.
  const Json& ratio = found.headline.at("specificity_per_nat_gap_matched");
  EXPECT_NEAR(ratio.at("value").get<double>(), 2, 1e-9);
  EXPECT_NEAR(ratio.at("ci_low").get<double>(), 2, 1e-9);
  EXPECT_TRUE(ratio.at("ci_high").is_null());
  EXPECT_EQ(found.to_json().dump().find("inf,"), std::string::npos) << found.to_json().dump();
}

void expect_keys(const Json& object, const std::string& keys) {
  std::istringstream words(keys);
  for (std::string key; words >> key;) {
    EXPECT_TRUE(object.contains(key)) << key << " in " << object.value("name", "the summary");
  }
}

TEST_F(SummariseTest, TheSummaryHasEveryKeyOfTheContract) {
  put_everything();
  const Json json = summary().to_json();
  expect_keys(json,
              "behaviour model sae defence n_prompts n_valid verdict rows controls attribution "
              "environment");
  ASSERT_EQ(json.at("rows").size(), 7u);
  for (const Json& row : json.at("rows")) {
    expect_keys(row,
                "name objective constraint threat_model budget n_valid recovered rate ci_low "
                "ci_high drift_pre_l2 drift_pre_rel drift_post_l2 drift_post_rel "
                "reactivated_fraction zero_reactivation norm_mean norm_rel_mean kl_to_base "
                "seconds_per_prompt control scope");
  }
  EXPECT_TRUE(json.at("rows")[0].at("control").is_null());
  EXPECT_EQ(AuditSummary::from_json(json).to_json(), json);
}

TEST_F(SummariseTest, ZeroFlipsAreUndeterminedAndKeepTheirRows) {
  const AuditSummary none = summary(0);
  EXPECT_EQ(none.verdict, "undetermined");
  ASSERT_FALSE(none.rows.empty());
  EXPECT_EQ(none.rows[0].name, kHeadlineRow);
  EXPECT_EQ(none.to_json().dump().find("nan"), std::string::npos);
}

TEST_F(SummariseTest, AConstraintThatRarelyBindsIsUndetermined) {
  std::vector<StoredResult> attack;
  for (int64_t i = 0; i < 40; ++i)
    attack.push_back(result_of(i, true, {{"binding_features", i < 19 ? 1 : 0}}));
  put(kHeadlineRow, attack);
  put("none/logit_diff/per_prompt@8", attack);
  const AuditSummary found = summary();
  EXPECT_EQ(found.verdict, "undetermined");
  EXPECT_NE(found.verdict_text.find("binds"), std::string::npos);
}

TEST_F(SummariseTest, ABottleneckNeedsThePowerRow) {
  put_attack(0);
  EXPECT_EQ(summary().verdict, "partial");
  std::vector<StoredResult> power;
  for (int64_t i = 0; i < 40; ++i) power.push_back(result_of(i, i < 38));
  put(concat("power/", kHeadlineRow), power);
  EXPECT_EQ(summary().verdict, "bottleneck at budget 8");
  std::vector<int64_t> clusters = own_clusters(64);
  for (int64_t& cluster : clusters) cluster %= 4;
  const AuditSummary four = summary_of(clusters);
  EXPECT_EQ(four.verdict, "partial");
  EXPECT_NEAR(four.headline.at("recovery").at("ci_high").get<double>(), 0.4899, 1e-4);
}

// An exact rung moves nothing by construction, a shared perturbation stores nothing to bind.
TEST_F(SummariseTest, WhetherTheConstraintBindsIsUnknownWithoutARowThatCanMoveIt) {
  std::vector<StoredResult> attack;
  for (int64_t i = 0; i < 40; ++i) attack.push_back(result_of(i, true, {{"binding_features", 0}}));
  put(kHeadlineRow, attack);
  const AuditSummary exact = summary();
  EXPECT_TRUE(exact.controls.at("constraint_binds_on_examples").is_null());
  EXPECT_EQ(exact.verdict, "partial");
  EXPECT_NE(exact.verdict_text.find("binds"), std::string::npos) << exact.verdict_text;

  spec_.rows = {spec_.rows[0]};
  spec_.rows[0].scope = RowScope::kShared;
  put(kShared, attack);
  EXPECT_TRUE(summary().controls.at("constraint_binds_on_examples").is_null());
  put("none/logit_diff/shared@8", attack);
  EXPECT_TRUE(summary().controls.at("constraint_binds_on_examples").is_null());
  EXPECT_EQ(summary().verdict, "partial");
}

TEST(SummaryJsonTest, AMissingKeyIsNamed) {
  AuditSummary summary;
  summary.rows.resize(1);
  Json json = summary.to_json();
  json["rows"][0].erase("kl_to_base");
  try {
    AuditSummary::from_json(json);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("summary.json.rows[0].kl_to_base"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace rebound
