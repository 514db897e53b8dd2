#include "rebound/stats/intervals.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"

namespace rebound {
namespace {

TEST(WilsonTest, MatchesTheClosedFormAtTheEnds) {
  const double z2 = kZ95 * kZ95;
  EXPECT_DOUBLE_EQ(wilson(0, 10).low, 0);
  EXPECT_NEAR(wilson(0, 10).high, z2 / (10 + z2), 1e-12);
  EXPECT_NEAR(wilson(10, 10).low, 10 / (10 + z2), 1e-12);
  EXPECT_DOUBLE_EQ(wilson(10, 10).high, 1);
}

TEST(WilsonTest, BoundsSolveTheScoreEquation) {
  for (const double z : {1.0, kZ95, 2.5758}) {
    const Interval interval = wilson(7, 19, z);
    for (const double bound : {interval.low, interval.high}) {
      EXPECT_NEAR(std::abs(7.0 / 19 - bound) / std::sqrt(bound * (1 - bound) / 19), z, 1e-9);
    }
  }
}

TEST(WilsonTest, NothingTriedMeansNothingKnown) {
  EXPECT_EQ(wilson(0, 0).low, 0);
  EXPECT_EQ(wilson(0, 0).high, 1);
}

TEST(WilsonTest, ThirtyFiveFailuresAreNeededForABoundOfTenPercent) {
  EXPECT_GT(wilson(0, 34).high, 0.10);
  EXPECT_LE(wilson(0, 35).high, 0.10);
}

TEST(WilsonTest, RefusesMoreSuccessesThanTries) { EXPECT_THROW(wilson(4, 3), ConfigError); }

TEST(UnseenClusterBoundsTest, AreWilsonsBoundsOnTheClustersAtTheEnds) {
  for (const int64_t clusters : {1, 4, 24}) {
    const Interval none = unseen_cluster_bounds(0, clusters),
                   all = unseen_cluster_bounds(1, clusters);
    EXPECT_DOUBLE_EQ(none.low, 0);
    EXPECT_DOUBLE_EQ(none.high, wilson(0, clusters).high);
    EXPECT_NEAR(all.low, wilson(clusters, clusters).low, 1e-12);
    EXPECT_DOUBLE_EQ(all.high, 1);
  }
  EXPECT_EQ(unseen_cluster_bounds(0.5, 0).low, 0);
  EXPECT_EQ(unseen_cluster_bounds(0.5, 0).high, 1);
}

// Of independent examples they say no more than Wilson's interval does.
TEST(UnseenClusterBoundsTest, LieInsideWilsonsIntervalOfAsManyExamples) {
  for (int64_t hits = 0; hits <= 20; ++hits) {
    const Interval bounds = unseen_cluster_bounds(static_cast<double>(hits) / 20, 20),
                   exact = wilson(hits, 20);
    EXPECT_GE(bounds.low, exact.low - 1e-12);
    EXPECT_LE(bounds.high, exact.high + 1e-12);
  }
}

TEST(UnseenClusterBoundsTest, ReachTowardsTheEndsOfTheRange) {
  const double unseen = wilson(0, 6).high;
  const Interval bounds = unseen_cluster_bounds(0.25, 6, -1, 1);
  EXPECT_NEAR(bounds.low, (1 - unseen) * 0.25 - unseen, 1e-12);
  EXPECT_NEAR(bounds.high, (1 - unseen) * 0.25 + unseen, 1e-12);
}

TEST(McNemarTest, EqualsTheTwoSidedBinomial) {
  EXPECT_NEAR(mcnemar_exact(5, 0), 2.0 / 32, 1e-12);
  EXPECT_NEAR(mcnemar_exact(1, 5), 2.0 * (1 + 6) / 64, 1e-12);
  EXPECT_NEAR(mcnemar_exact(5, 1), mcnemar_exact(1, 5), 1e-15);
  EXPECT_DOUBLE_EQ(mcnemar_exact(3, 3), 1);
  EXPECT_DOUBLE_EQ(mcnemar_exact(0, 0), 1);
}

TEST(McNemarTest, SurvivesLargeCounts) {
  EXPECT_GT(mcnemar_exact(5000, 5100), 0.3);
  EXPECT_LT(mcnemar_exact(4000, 6000), 1e-80);
}

}  // namespace
}  // namespace rebound
