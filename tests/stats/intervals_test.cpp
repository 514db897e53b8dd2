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
