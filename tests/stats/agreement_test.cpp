#include "rebound/stats/agreement.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"

namespace rebound {
namespace {

TEST(AgreementTest, KappaOfAHandComputedTable) {
  // n 50, p_o 35/50, p_e (25 * 30 + 25 * 20) / 2500 = 0.5, kappa 0.4
  const ConfusionCounts counts = {{20, 5}, {10, 15}};
  EXPECT_DOUBLE_EQ(*agreement_rate(counts), 0.7);
  EXPECT_DOUBLE_EQ(*cohen_kappa(counts), 0.4);
}

TEST(AgreementTest, KappaOfThreeCategories) {
  // n 10, p_o 0.6, rows (4, 3, 3), columns (4, 4, 2): p_e (16 + 12 + 6) / 100 = 0.34
  const ConfusionCounts counts = {{3, 1, 0}, {1, 2, 0}, {0, 1, 2}};
  ConfusionCounts by_hand = counts;
  by_hand[2] = {0, 1, 1};
  by_hand[1] = {1, 2, 1};
  EXPECT_NEAR(*cohen_kappa(counts), (0.7 - 0.34) / 0.66, 1e-12);
  // n 10, p_o 0.6, rows (4, 4, 2), columns (4, 4, 2): p_e 0.36
  EXPECT_NEAR(*cohen_kappa(by_hand), (0.6 - 0.36) / 0.64, 1e-12);
}

TEST(AgreementTest, ChanceIsZeroPerfectIsOneOppositeIsMinusOne) {
  EXPECT_NEAR(*cohen_kappa({{16, 4}, {64, 16}}), 0, 1e-15);
  EXPECT_DOUBLE_EQ(*cohen_kappa({{3, 0}, {0, 9}}), 1);
  EXPECT_DOUBLE_EQ(*cohen_kappa({{0, 5}, {5, 0}}), -1);
}

TEST(AgreementTest, SwappingTheRatersChangesNothing) {
  EXPECT_DOUBLE_EQ(*cohen_kappa({{7, 2, 1}, {0, 5, 4}, {3, 0, 8}}),
                   *cohen_kappa({{7, 0, 3}, {2, 5, 0}, {1, 4, 8}}));
}

TEST(AgreementTest, OneCategoryOrNothingHasNoKappa) {
  EXPECT_FALSE(cohen_kappa({{9, 0}, {0, 0}}).has_value());
  EXPECT_FALSE(cohen_kappa({{0, 0}, {0, 0}}).has_value());
  EXPECT_FALSE(agreement_rate({{0}}).has_value());
  EXPECT_DOUBLE_EQ(*agreement_rate({{9, 0}, {0, 0}}), 1);
}

TEST(AgreementTest, RefusesRaggedAndNegativeCounts) {
  EXPECT_THROW(cohen_kappa({{1, 2}, {3}}), ConfigError);
  EXPECT_THROW(agreement_rate({{1, -1}, {0, 1}}), ConfigError);
}

}  // namespace
}  // namespace rebound
