#include "rebound/probe/monitor.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "rebound/base/rng.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

// Two of 200 negatives may lie above; below 100 none may.
TEST(ThresholdAtFprTest, AtMostOneInAHundredNegativesLiesAbove) {
  std::vector<double> negatives;
  for (int i = 0; i < 200; ++i) negatives.push_back((i * 37) % 200);
  EXPECT_EQ(threshold_at_fpr(negatives), 197);
  EXPECT_EQ(threshold_at_fpr({3, 9, 4}), 9);
  EXPECT_EQ(threshold_at_fpr({1, 2, 3, 4}, 0.5), 2);
  EXPECT_EQ(threshold_at_fpr({1, 2}, 1), 1);
  EXPECT_THROW(threshold_at_fpr({}), DataError);
}

class MonitorRowsTest : public testing::Test {
 protected:
  std::vector<MonitorRow> rows() const {
    return monitor_rows("dense", "request", texts, states, {.draws = 300});
  }
  MonitorTexts texts{.is_own_positive = true, .own_clusters = {0, 1, 2}, .other_clusters = {0, 1}};
  std::vector<MonitorScores> states = {{"base", {3, 4, 5}, {0, 1}, {0, 0, 0}},
                                       {"defended", {-1, 0.5, 2}, {0, -2}, {0.5, 0.7, 0.6}}};
};

// By hand. Base: every pair in order, all above 1. Defended: of six pairs five are in order (-1
// lies below 0), and one of three is above 1.
TEST_F(MonitorRowsTest, FiguresOfAStateAreThoseOfItsScoresAtTheBaseThreshold) {
  const auto found = rows();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].threshold, 1);
  EXPECT_EQ(found[1].threshold, 1);
  EXPECT_EQ(found[0].auroc.value, 1);
  EXPECT_DOUBLE_EQ(found[1].auroc.value, 5.0 / 6);
  EXPECT_DOUBLE_EQ(found[0].mean.value, 4);
  EXPECT_DOUBLE_EQ(found[1].mean.value, 0.5);
  EXPECT_DOUBLE_EQ(found[0].above.value, 1);
  EXPECT_LT(found[0].above.low, 0.5);  // Wilson's, 3 of 3: the bootstrap has no width
  EXPECT_DOUBLE_EQ(found[1].above.value, 1.0 / 3);
  EXPECT_EQ(found[1].other_above, 0);
  EXPECT_DOUBLE_EQ(found[1].shift.value, -3.5);
  EXPECT_EQ(found[0].shift.high, 0);
  EXPECT_NEAR(found[1].distance.value, 0.6, 1e-12);
  EXPECT_EQ(found[1].to_json().at("score_minus_base").at("value"), -3.5);
}

TEST_F(MonitorRowsTest, OfHarmlessTextsTheThresholdIsTheirOwn) {
  texts.is_own_positive = false;
  const auto found = rows();
  EXPECT_EQ(found[0].threshold, 5);
  EXPECT_EQ(found[0].above.value, 0);
  EXPECT_EQ(found[0].auroc.value, 0);
}

TEST_F(MonitorRowsTest, WithoutOthersPositivesHaveNoThresholdAndNoAuroc) {
  texts.other_clusters.clear();
  for (MonitorScores& state : states) state.other.clear();
  const Json row = rows()[1].to_json();
  EXPECT_TRUE(row.at("auroc").at("value").is_null());
  EXPECT_TRUE(row.at("above_threshold").at("value").is_null());
  EXPECT_TRUE(row.at("other_above_threshold").is_null());
  EXPECT_EQ(row.at("mean_score").at("value"), 0.5);
}

TEST_F(MonitorRowsTest, StatesOfOtherTextsAreADataError) {
  states[1].own.pop_back();
  const std::string message = message_of<DataError>([&] { rows(); });
  EXPECT_NE(message.find("state defended: got scores of 2 and 2 texts, expected 3 and 2"),
            std::string::npos);
  states.clear();
  EXPECT_THROW(rows(), ConfigError);
}

std::shared_ptr<const Sae> random_sae(Rng& rng) {
  SaeConfig config{.kind = SaeKind::kStandard, .d_in = 6, .d_sae = 12};
  config.hook_name = "blocks.1.hook_resid_pre";
  at::Tensor encoder = random_tensor(rng, {6, 12});
  encoder.select(1, 4).mul_(3);
  return std::make_shared<const Sae>(config,
                                     SaeWeights{encoder,
                                                random_tensor(rng, {12}),
                                                random_tensor(rng, {12, 6}),
                                                random_tensor(rng, {6}),
                                                at::zeros({12})});
}

// Latent 4 alone tells the classes apart: it is the one of k = 1, and the probe of cached, pooled
// codes gives what the monitor gives on the residuals themselves.
TEST(FitMonitorsTest, WhatIsFittedOnPooledFeaturesReadsRunsInTheSameWay) {
  Rng rng({4});
  const auto sae = random_sae(rng);
  ProbeTask task{.name = "t"};
  const int64_t n = 40, tokens = 5;
  ActivationCache cache(n, 6);
  std::vector<at::Tensor> texts;
  for (int64_t i = 0; i < n; ++i) {
    LabelledText text{.id = std::to_string(i), .text = "x", .is_positive = i % 2 == 0};
    text.group = text.id;
    const at::Tensor column = sae->weights().W_enc.select(1, 4);
    texts.push_back(random_tensor(rng, {tokens, 6}, 0.2) + (i % 2 == 0 ? 1 : -1) * column);
    cache.put(i, texts.back());
    task.texts.push_back(text);
  }
  for (const char* pool : {"max", "mean", "last"}) {
    const FittedProbe place{
        .task = "t", .site = parse_site("blocks.1.hook_resid_pre"), .pooler = parse_pooler(pool)};
    const PooledFeatures features = pool_features(cache, place.pooler, sae.get());
    const auto probes = fit_monitors(task, features, place, sae, 1);
    ASSERT_EQ(probes.size(), 2U);
    EXPECT_EQ(probes[1].latents, (Sae::Features{4}));
    const at::Tensor all = at::ones({n, tokens}, at::kBool);
    const at::Tensor resid = at::stack(texts);
    for (const MonitorProbe& probe : probes) {
      const std::vector<double> scores = probe.scores(resid, all);
      for (int64_t i = 0; i < n; ++i) {
        EXPECT_EQ(scores[static_cast<size_t>(i)] > 0, i % 2 == 0) << probe.name << " " << pool;
        double by_hand = probe.fitted.model.intercept;
        const at::Tensor pooled =
            probe.sae ? features.code[i].index_select(0, at::tensor({4})) : features.residual[i];
        for (int64_t j = 0; j < pooled.numel(); ++j) {
          by_hand += probe.fitted.model.weight[static_cast<size_t>(j)] * pooled[j].item<double>();
        }
        EXPECT_NEAR(
            scores[static_cast<size_t>(i)], by_hand, 1e-4 * std::max(1.0, std::abs(by_hand)));
      }
    }
    EXPECT_EQ(fit_monitors(task, features, place, nullptr, 0).size(), 1U);
    EXPECT_THROW(fit_monitors(task, features, place, sae, 13), ConfigError);
  }
}

}  // namespace
}  // namespace rebound
