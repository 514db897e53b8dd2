#include "rebound/stats/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

std::vector<double> coin_flips(int heads, int n) {
  std::vector<double> values(static_cast<size_t>(n), 0.0);
  for (int i = 0; i < heads; ++i) values[static_cast<size_t>(i)] = 1;
  return values;
}

TEST(BootstrapTest, IntervalOfAMeanMatchesTheNormalApproximation) {
  Rng rng({3});
  std::vector<double> values(400);
  for (double& value : values) value = 5 + 2 * rng.normal();
  const Estimate estimate = bootstrap_mean(values, {.draws = 4000});
  EXPECT_NEAR(estimate.high - estimate.low, 2 * kZ95 * 2 / std::sqrt(400.0), 0.05);
  EXPECT_NEAR((estimate.high + estimate.low) / 2, estimate.value, 0.03);
}

TEST(BootstrapTest, OneClusterHasNoSpread) {
  const Estimate estimate =
      bootstrap_mean(coin_flips(3, 10), {.clusters = std::vector<int64_t>(10, 7)});
  EXPECT_DOUBLE_EQ(estimate.value, 0.3);
  EXPECT_DOUBLE_EQ(estimate.low, 0.3);
  EXPECT_DOUBLE_EQ(estimate.high, 0.3);
}

TEST(BootstrapTest, BelowTheFewestClustersThereAreNoBounds) {
  const Estimate one = bootstrap_mean({3}, {.fewest_clusters = 2});
  EXPECT_EQ(one.value, 3);
  EXPECT_TRUE(std::isnan(one.low) && std::isnan(one.high));
  EXPECT_FALSE(std::isnan(bootstrap_mean({3, 4}, {.fewest_clusters = 2}).low));
}

TEST(BootstrapTest, AFlatEstimateIsWidenedToWhatOtherClustersCouldChange) {
  const Estimate wide = widened_where_flat({0, 0, 0}, 24, -1, 1);
  EXPECT_NEAR(wide.low, -0.138, 1e-3);  // z^2 / (24 + z^2)
  EXPECT_NEAR(wide.high, 0.138, 1e-3);
  EXPECT_EQ(widened_where_flat({0.5, 0.4, 0.6}, 24, 0, 1).low, 0.4);
}

TEST(BootstrapTest, DrawsWithoutAStatisticAreLeftOut) {
  const auto of_first = [](const std::vector<int64_t>& drawn) -> std::optional<double> {
    if (drawn[0] != 0) return std::nullopt;
    return 7.0;
  };
  const Estimate some = bootstrap_where_defined(3, of_first);
  EXPECT_EQ(some.low, 7);
  EXPECT_EQ(some.high, 7);
  const auto never = [](const std::vector<int64_t>&) { return std::optional<double>(); };
  EXPECT_TRUE(std::isnan(bootstrap_where_defined(3, never).high));
}

TEST(BootstrapTest, CopiesWithinAClusterDoNotNarrowTheInterval) {
  std::vector<double> values, copied;
  std::vector<int64_t> clusters;
  for (int i = 0; i < 30; ++i) {
    values.push_back(i % 3 == 0);
    for (int copy = 0; copy < 4; ++copy) {
      copied.push_back(i % 3 == 0);
      clusters.push_back(i);
    }
  }
  const Estimate once = bootstrap_mean(values);
  const Estimate clustered = bootstrap_mean(copied, {.clusters = clusters});
  const Estimate naive = bootstrap_mean(copied);
  EXPECT_NEAR(clustered.low, once.low, 1e-12);
  EXPECT_NEAR(clustered.high, once.high, 1e-12);
  EXPECT_LT(naive.high - naive.low, 0.6 * (clustered.high - clustered.low));
}

TEST(BootstrapTest, SameSeedSameNumbersAndAnotherSeedOthers) {
  const std::vector<double> values = {1, 5, 2, 8, 4, 4, 9};
  EXPECT_EQ(bootstrap_mean(values).low, bootstrap_mean(values).low);
  EXPECT_NE(bootstrap_mean(values, {.draws = 50}).low,
            bootstrap_mean(values, {.draws = 50, .seed = 1}).low);
}

TEST(BootstrapTest, PairedDifferenceIsTighterThanItsParts) {
  std::vector<double> a, b;
  for (int i = 0; i < 50; ++i) {
    a.push_back(i + 1);
    b.push_back(i);
  }
  const Estimate difference = bootstrap_difference(a, b);
  EXPECT_DOUBLE_EQ(difference.low, 1);
  EXPECT_DOUBLE_EQ(difference.high, 1);
}

TEST(BootstrapTest, RatiosOfEachKindHaveTheirOwnValue) {
  const std::vector<double> numerators = {2, 6, 20}, denominators = {1, 2, 4};
  EXPECT_DOUBLE_EQ(bootstrap_ratio(numerators, denominators, RatioKind::kMedianOfRatios).value, 3);
  EXPECT_DOUBLE_EQ(bootstrap_ratio(numerators, denominators, RatioKind::kMeanOfRatios).value,
                   10.0 / 3);
  EXPECT_DOUBLE_EQ(bootstrap_ratio(numerators, denominators, RatioKind::kRatioOfMedians).value, 3);
}

TEST(BootstrapTest, CensoredNumeratorsKeepTheLowerBoundFinite) {
  std::vector<double> numerators(40, 3.0);
  for (size_t i = 0; i < 8; ++i) numerators[i] = std::numeric_limits<double>::infinity();
  const Estimate estimate =
      bootstrap_ratio(numerators, std::vector<double>(40, 2.0), RatioKind::kMedianOfRatios);
  EXPECT_DOUBLE_EQ(estimate.value, 1.5);
  EXPECT_DOUBLE_EQ(estimate.low, 1.5);
}

TEST(BootstrapTest, NoExamplesGiveNaN) { EXPECT_TRUE(std::isnan(bootstrap_mean({}).value)); }

TEST(BootstrapTest, BadOptionsNameTheField) {
  EXPECT_THROW(bootstrap_mean({1, 2}, {.clusters = {1}}), ConfigError);
  EXPECT_THROW(bootstrap_mean({1, 2}, {.draws = 0}), ConfigError);
  EXPECT_THROW(bootstrap_difference({1, 2}, {1}), ConfigError);
}

}  // namespace
}  // namespace rebound
