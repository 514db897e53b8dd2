// Targeted probe perturbation on a toy whose numbers follow by hand.
#include "rebound/probe/tpp.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

constexpr int64_t kClasses = 3, kTppTexts = 4, kTppAxes = 5;

ClassTask toy_task() {
  ClassTask task = {.name = "toy", .classes = {"a", "b", "c"}};
  for (const Split split : {Split::kTrain, Split::kTest}) {
    for (int64_t i = 0; i < kClasses * kTppTexts; ++i) {
      task.texts.push_back({.group = concat(to_string(split), i), .split = split});
      task.label.push_back(i % kClasses);
    }
  }
  return task;
}

// Class c: two tokens of 2 and 4 on axis c; axis 3 is the same for all, axis 4 always 0.
void fill(const ClassTask& task, ActivationCache& cache) {
  for (size_t i = 0; i < task.texts.size(); ++i) {
    at::Tensor tokens = at::zeros({2, kTppAxes});
    tokens[0][task.label[i]] = 2;
    tokens[1][task.label[i]] = 4;
    tokens.select(1, 3).fill_(1);
    cache.put(static_cast<int64_t>(i), tokens);
  }
}

TppReport run_toy(TppOptions options) {
  const ClassTask task = toy_task();
  ActivationCache cache(static_cast<int64_t>(task.texts.size()), kTppAxes);
  fill(task, cache);
  options.probe.lambda = 1;
  return run_tpp(task, cache, axis_sae(kTppAxes), options);
}

// Axis c alone has a positive mean difference with class c. With it at 0 a text of the class reads
// the intercept, which is negative: half of the class's test set goes wrong and nothing of the
// others'.
TEST(TppTest, APlantedFeatureOfEachClassGivesOneHalf) {
  const TppReport report = run_toy({.n = {2, 1}});
  ASSERT_EQ(report.rows.size(), 6u);
  ASSERT_EQ(report.scores.size(), 2u);
  for (const TppRow& row : report.rows) {
    EXPECT_EQ(row.ablated, 1);  // the one effect that is not 0
    EXPECT_EQ(row.accuracy, 1);
    EXPECT_EQ(row.own_drop, 0.5);
    EXPECT_EQ(row.other_drop, 0);
    EXPECT_EQ(row.tpp, 0.5);
    EXPECT_EQ(row.none.n, kTppTexts);
    EXPECT_GE(row.none.certificate_ratio, 0.99);
    EXPECT_GE(row.encoder.certificate_ratio, 0.99);
  }
  EXPECT_EQ(report.rows[0].name, "a");
  EXPECT_EQ(report.rows[0].n, 1);
  EXPECT_EQ(report.scores[0].first, 1);
  EXPECT_NEAR(report.scores[0].second, 0.5, 1e-12);
}

TEST(TppTest, TheReadingComesBackOnTheOtherAxes) {
  for (const TppRow& row : run_toy({.n = {1}}).rows) {
    EXPECT_EQ(row.none.recovered, kTppTexts);
    EXPECT_EQ(row.none.zero_reactivation, 0);
    EXPECT_EQ(row.none.reactivated_fraction, 1);
    EXPECT_EQ(row.encoder.recovered, kTppTexts);
    EXPECT_EQ(row.encoder.zero_reactivation, kTppTexts);
    EXPECT_LT(row.encoder.drift_pre, 1e-6);
    EXPECT_EQ(row.encoder.free_dimension, kTppAxes - 1);
  }
}

TEST(TppTest, ATinyBudgetRecoversNothing) {
  TppOptions options = {.n = {1}};
  options.recovery.budget = 0.01;
  for (const TppRow& row : run_toy(options).rows) {
    EXPECT_EQ(row.none.recovered, 0);
    EXPECT_EQ(row.encoder.recovered, 0);
  }
}

TEST(TppTest, JsonHasTheContractsKeys) {
  const Json json = run_toy({.n = {1}}).rows[0].to_json();
  EXPECT_EQ(json["class"], "a");
  EXPECT_EQ(json["n"], 1);
  EXPECT_EQ(json["tpp"], 0.5);
  EXPECT_EQ(json["n_valid"], kTppTexts);
  EXPECT_EQ(json["recovered_none"], 1);
  EXPECT_EQ(json["recovered_encoder"], 1);
  EXPECT_EQ(json["zero_reactivation_encoder"], 1);
  EXPECT_EQ(json["reactivated_fraction"], 0);
  EXPECT_EQ(json["reactivated_fraction_none"], 1);
  EXPECT_GE(json["certificate_ratio"].get<double>(), 0.99);
  TppRow without = {.name = "a"};
  EXPECT_TRUE(without.to_json()["recovered_none"].is_null());
  EXPECT_TRUE(without.to_json()["ci_low_none"].is_null());
}

TEST(TppTest, ImpossibleRequestsAreRefused) {
  EXPECT_NE(message_of<ConfigError>([] { run_toy({.n = {6}}); }).find("n: got 6, expected 1 to 5"),
            std::string::npos);
  EXPECT_NE(message_of<ConfigError>([] { run_toy({.n = {0}}); }).find("n: got 0"),
            std::string::npos);
  EXPECT_EQ(run_toy({}).scores.size(), 2u);  // 2 and 5 of the default
  const ClassTask task = toy_task();
  ActivationCache cache(24, kTppAxes), small(3, kTppAxes);
  fill(task, cache);
  EXPECT_NE(message_of<ConfigError>([&] {
              run_tpp(task, cache, axis_sae(kTppAxes, SaeNorm::kLayerNorm), {.n = {1}});
            }).find("normalises its input (layer_norm)"),
            std::string::npos);
  EXPECT_NE(message_of<DataError>([&] {
              run_tpp(task, small, axis_sae(kTppAxes), {.n = {1}});
            }).find("activations of 3 texts, expected 24"),
            std::string::npos);
  ClassTask one = {.name = "one", .classes = {"a"}};
  EXPECT_NE(message_of<DataError>([&] {
              run_tpp(one, cache, axis_sae(kTppAxes), {});
            }).find("got 1 class"),
            std::string::npos);
}

TEST(FeatureEffectsTest, NegativeMeanDifferencesCountAsNothing) {
  const Sae sae = axis_sae(kTppAxes);
  const at::Tensor code =
      at::tensor({3.F, 0.F, 1.F, 2.F, 0.F, 1.F, 4.F, 1.F, 0.F, 0.F}).view({2, 5});
  const at::Tensor weight = at::tensor({2.F, 1.F, 1.F, -1.F, 5.F});
  const at::Tensor effects = feature_effects(code, {true, false}, weight, sae);
  // Differences 2, -4, 0, 2, 0.
  EXPECT_TRUE(at::equal(effects, at::tensor({4.0, 0.0, 0.0, -2.0, 0.0}, at::kDouble)));
  EXPECT_NE(message_of<DataError>([&] {
              feature_effects(code, {true, true}, weight, sae);
            }).find("got 2 positive and 0 negative"),
            std::string::npos);
}

TEST(TopEffectsTest, LargestFirstWithSignAndWithoutZeros) {
  const at::Tensor effects = at::tensor({0.0, 3.0, -1.0, 5.0, 3.0}, at::kDouble);
  EXPECT_EQ(top_effects(effects, 2), (Sae::Features{3, 1}));
  EXPECT_EQ(top_effects(effects, 5), (Sae::Features{3, 1, 4, 2}));
  EXPECT_TRUE(top_effects(at::zeros({4}, at::kDouble), 3).empty());
}

}  // namespace
}  // namespace rebound
