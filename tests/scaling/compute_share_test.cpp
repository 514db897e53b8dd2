#include "rebound/scaling/compute_share.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "scaling/scaling_fixture.h"

namespace rebound {
namespace {

// Contexts whose mean is `loss`, alternately a little above and below.
std::vector<double> contexts_at(double loss) {
  std::vector<double> contexts;
  for (int i = 0; i < 40; ++i) contexts.push_back(loss + (i % 2 == 0 ? 0.3 : -0.3));
  return contexts;
}

ComputeShare share_at(double clean, double spliced) {
  const auto share = ComputePrice(planted_curve(), {.draws = 200})
                         .of_clean(contexts_at(clean), contexts_at(spliced));
  EXPECT_TRUE(share.has_value());
  return *share;
}

TEST(ComputeShareTest, HandComputedShares) {
  // C(1.5) = 64, C(2) = 16, C(3) = 4.
  EXPECT_NEAR(share_at(1.5, 2).share.value, 0.25, 1e-4);
  EXPECT_NEAR(share_at(1.5, 3).share.value, 1.0 / 16, 1e-4);
  EXPECT_NEAR(share_at(2, 1.5).share.value, 4, 1e-3);
  EXPECT_EQ(share_at(1.5, 2).relation, ShareRelation::kEqual);
}

TEST(ComputeShareTest, NothingSplicedIsWorthAllOfTheCompute) {
  const ComputeShare share = share_at(1.5, 1.5);
  EXPECT_DOUBLE_EQ(share.share.value, 1);
  EXPECT_NEAR(share.share.low, 1, 1e-9);
  EXPECT_NEAR(share.share.high, 1, 1e-9);
}

TEST(ComputeShareTest, AnIdentityAtTheEndOfANoisyCurveCostsNothingInAnyDraw) {
  // Draws of this curve put the clean loss beyond the fitted range.
  ScalingCurve noisy = planted_curve();
  noisy.runs[1].loss += 0.3;
  noisy.runs[4].loss -= 0.02;
  const ComputePrice price(noisy, {.draws = 300});
  const auto clean = contexts_at(price.law().loss_at(95 * kUnit));
  const Estimate share = price.of_clean(clean, clean)->share;
  EXPECT_NEAR(share.low, 1, 1e-9);
  EXPECT_NEAR(share.high, 1, 1e-9);
  const Estimate of_training = price.of_training(clean, clean, 95 * kUnit)->share;
  EXPECT_GT(of_training.high, kRangeSlack * 100 / 95 + 0.01);  // not cut at the range
}

// A flat curve: many draws have their E above the model's own loss.
TEST(ComputeShareTest, ADrawThatNeverReachesTheCleanLossPricesItWithoutEnd) {
  ScalingCurve flat = planted_curve();
  flat.runs.clear();
  for (const auto& [compute, loss] :
       {std::pair{1.0, 3.0}, {10.0, 2.02}, {100.0, 1.98}, {1000.0, 1.93}}) {
    flat.runs.push_back({.compute = compute * 1e10, .loss = loss});
  }
  constexpr double kClean = 1.98;
  int64_t n_short = 0;
  for (const auto& law : bootstrap_fits(flat.points(), 2000, 0)) {
    n_short += law && !law->compute_at(kClean);
  }
  ASSERT_GT(n_short, 50);  // more than the 2.5 % of a tail
  const ComputePrice price(flat);
  const auto dearer = price.of_clean(contexts_at(kClean), contexts_at(2.10));
  ASSERT_TRUE(dearer.has_value());
  EXPECT_EQ(dearer->share.low, 0);
  const auto same = price.of_clean(contexts_at(kClean), contexts_at(kClean));
  EXPECT_NEAR(same->share.low, 1, 1e-9);
  EXPECT_NEAR(same->share.high, 1, 1e-9);
  EXPECT_EQ(price.draws(), 2000);
  EXPECT_GE(price.draws_without_law(), 0);
}

TEST(ComputeShareTest, MoreLossIsWorthLess) {
  double before = 2;
  for (const double loss : {1.45, 1.5, 1.7, 2.0, 3.0, 4.9}) {
    const double share = share_at(1.45, loss).share.value;
    EXPECT_LT(share, before) << loss;
    before = share;
  }
}

TEST(ComputeShareTest, AboveTheSmallestRunItIsAnUpperBound) {
  const ComputeShare share = share_at(1.4, 7);
  EXPECT_EQ(share.relation, ShareRelation::kBelow);
  EXPECT_EQ(to_string(share.relation), "<");
  EXPECT_NEAR(share.share.value, 1.0 / kRangeSlack / 100, 1e-6);
  EXPECT_LT(share.share.value, 0.01);
  EXPECT_EQ(share.share.low, 0);
  EXPECT_DOUBLE_EQ(share_at(1.4, 9).share.value, share.share.value);  // not extrapolated
}

TEST(ComputeShareTest, BelowTheLargestRunItIsALowerBound) {
  for (const double loss : {1.2, 0.9}) {  // 0.9: below E
    const ComputeShare share = share_at(1.5, loss);
    EXPECT_EQ(share.relation, ShareRelation::kAbove);
    EXPECT_NEAR(share.share.value, 100 * kRangeSlack / 64, 1e-3);
    EXPECT_TRUE(std::isinf(share.share.high));
  }
}

TEST(ComputeShareTest, NoShareForAModelOutsideTheRange) {
  const ComputePrice price(planted_curve(), {.draws = 20});
  EXPECT_FALSE(price.of_clean(contexts_at(8), contexts_at(9)).has_value());
  EXPECT_FALSE(price.is_inside(8));
  EXPECT_FALSE(price.is_inside(0.5));
  EXPECT_TRUE(price.is_inside(1.4));
}

TEST(ComputeShareTest, OfTrainingDividesByTheRealCompute) {
  const ComputePrice price(planted_curve(), {.draws = 20});
  const auto share = price.of_training(contexts_at(1.5), contexts_at(2), 80 * kUnit);
  EXPECT_NEAR(share->share.value, 16.0 / 80, 1e-4);
  const auto identity = price.of_training(contexts_at(1.5), contexts_at(1.5), 80 * kUnit);
  EXPECT_NEAR(identity->share.value, 0.8, 1e-4);
}

TEST(ComputeShareTest, TheIntervalHoldsBothTheContextsAndTheCurve) {
  std::vector<double> spliced = contexts_at(2);
  Rng rng({6});
  for (double& loss : spliced) loss += 0.2 * rng.normal();
  const auto clean = contexts_at(1.5);
  const auto of_contexts = ComputePrice(planted_curve()).of_clean(clean, spliced)->share;
  EXPECT_GT(of_contexts.high - of_contexts.low, 0.02);
  ScalingCurve noisy = planted_curve();
  noisy.runs[1].loss += 0.3;
  noisy.runs[2].loss -= 0.15;
  const auto of_curve = ComputePrice(noisy).of_clean(clean, contexts_at(2))->share;
  EXPECT_GT(of_curve.high - of_curve.low, 0.02);
  const auto of_both = ComputePrice(noisy).of_clean(clean, spliced)->share;
  EXPECT_GT(of_both.high - of_both.low, of_contexts.high - of_contexts.low);
  EXPECT_LE(of_both.low, of_both.value);
  EXPECT_GE(of_both.high, of_both.value);
}

TEST(ComputeShareTest, PairedContextsCancelWhatTheyShare) {
  // Contexts differ by 0.3 among themselves, but the difference is the same in each.
  const auto share = share_at(1.5, 2).share;
  EXPECT_LT(share.high - share.low, 1e-3);
}

TEST(ComputeShareTest, UnequalContextsAreRefused) {
  const ComputePrice price(planted_curve(), {.draws = 20});
  EXPECT_THROW(price.of_clean({1.5, 1.5}, {1.5}), ConfigError);
  EXPECT_THROW(price.of_clean({}, {}), ConfigError);
  EXPECT_THROW(price.of_training({1.5}, {1.5}, 0), ConfigError);
}

}  // namespace
}  // namespace rebound
