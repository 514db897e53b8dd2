#include "rebound/audit/result_figures.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rebound {
namespace {

using Results = std::vector<StoredResult>;

// `recovered` of n prompts, each tried `tries` times.
Results counted(int64_t recovered, int64_t n, int64_t tries = 1) {
  Results results;
  for (int64_t i = 0; i < n * tries; ++i)
    results.push_back({.prompt = i % n, .recovered = i % n < recovered});
  return results;
}

std::vector<int64_t> in_clusters(int64_t n_prompts, int64_t n_clusters) {
  std::vector<int64_t> clusters;
  for (int64_t i = 0; i < n_prompts; ++i) clusters.push_back(i % n_clusters);
  return clusters;
}

void expect_interval(const Interval& interval, double low, double high) {
  EXPECT_NEAR(interval.low, low, 1e-12);
  EXPECT_NEAR(interval.high, high, 1e-12);
}

TEST(RecoveryIntervalTest, PromptsOfTheirOwnHaveWilsonsInterval) {
  for (const int64_t recovered : {0, 7, 24}) {
    const Interval exact = wilson(recovered, 24);
    expect_interval(
        recovery_interval(counted(recovered, 24), in_clusters(24, 24)), exact.low, exact.high);
  }
}

// The bootstrap over clusters of 0 of 36 is [0, 0]; four clusters without a recovery may miss half
// of all there are.
TEST(RecoveryIntervalTest, NoneAndAllAreBoundedByTheNumberOfClusters) {
  const double unseen = wilson(0, 4).high;
  EXPECT_NEAR(unseen, 0.4899, 1e-4);
  expect_interval(recovery_interval(counted(0, 36), in_clusters(36, 4)), 0, unseen);
  expect_interval(recovery_interval(counted(36, 36), in_clusters(36, 4)), 1 - unseen, 1);
  // One more recovery does not take the bound away.
  EXPECT_GT(recovery_interval(counted(1, 36), in_clusters(36, 4)).high, unseen);
}

TEST(RecoveryIntervalTest, DrawsOfOnePromptAreNotIndependent) {
  expect_interval(recovery_interval(counted(0, 24, 4), in_clusters(24, 24)), 0, wilson(0, 24).high);
  expect_interval(
      recovery_interval(counted(24, 24, 4), in_clusters(24, 12)), 1 - wilson(0, 12).high, 1);
}

// Rates of 0 to 3/4 in all clusters: nothing hints at a kind that was not drawn.
TEST(RecoveryIntervalTest, AwayFromTheEndsItIsTheBootstrapOverClusters) {
  Results results;
  std::vector<double> rates;
  for (int64_t i = 0; i < 24; ++i) {
    rates.push_back(0.25 * static_cast<double>(i % 4));
    for (int64_t draw = 0; draw < 4; ++draw)
      results.push_back({.prompt = i, .recovered = draw < i % 4});
  }
  const std::vector<int64_t> clusters = in_clusters(24, 24);
  const Estimate redrawn = bootstrap_mean(rates, {.clusters = clusters});
  expect_interval(recovery_interval(results, clusters), redrawn.low, redrawn.high);
  // Half of the tries of each of two prompts: the bootstrap has no width.
  Results halves;
  for (int64_t i = 0; i < 8; ++i) halves.push_back({.prompt = i % 2, .recovered = i < 4});
  const Interval unseen = unseen_cluster_bounds(0.5, 2);
  expect_interval(recovery_interval(halves, {0, 1}), unseen.low, unseen.high);
}

// Two clusters of two: the bootstrap of 2 of 4, all of one cluster, goes from 0 to 1.
TEST(RecoveryIntervalTest, NearDuplicatesWidenTheInterval) {
  const Results results = counted(2, 4);
  expect_interval(recovery_interval(results, {0, 0, 1, 1}), 0, 1);
  const Interval balanced = recovery_interval(results, {0, 1, 0, 1});  // one of each
  EXPECT_LE(balanced.low, wilson(2, 4).low);
  EXPECT_GE(balanced.high, wilson(2, 4).high);
  EXPECT_TRUE(std::isnan(recovery_interval({}, {}).low));
}

TEST(PairedDifferenceTest, EqualDifferencesStillHaveAnInterval) {
  const double unseen = wilson(0, 24).high;
  const Estimate all = paired_difference(counted(24, 24), counted(0, 24, 2), in_clusters(24, 24));
  EXPECT_EQ(all.value, 1);
  EXPECT_NEAR(all.low, 1 - 2 * unseen, 1e-12);
  EXPECT_EQ(all.high, 1);
  // Three clusters cannot be clearly above anything.
  EXPECT_LT(paired_difference(counted(24, 24), counted(0, 24), in_clusters(24, 3)).low, 0);
  EXPECT_TRUE(std::isnan(paired_difference({}, {}, {}).low));
}

// Norms per nat of a gap of 1; NaN: censored.
Results budgets(const std::vector<double>& norms) {
  Results results;
  for (size_t i = 0; i < norms.size(); ++i) {
    StoredResult result{.prompt = static_cast<int64_t>(i)};
    result.figures = {{"gap", 1.0}, {"minimal_budget", finite_or_null(norms[i])}};
    results.push_back(std::move(result));
  }
  return results;
}

std::vector<double> mixed(size_t n_first, double first, size_t n_second, double second) {
  std::vector<double> values(n_first, first);
  values.insert(values.end(), n_second, second);
  return values;
}

// 36 of 48 recoveries need more than 20 and every injection 0.5: injecting is cheaper, whatever
// the 12 that were found (at 0.4) say.
TEST(SpecificityTest, CensoredRecoveriesAreNotLeftOut) {
  const Estimate ratio = specificity_per_nat(budgets(mixed(48, 0.5, 0, 0)),
                                             budgets(mixed(12, 0.4, 36, NAN)),
                                             in_clusters(48, 48),
                                             {20, 20});
  EXPECT_EQ(ratio.value, 0);
  EXPECT_EQ(ratio.low, 0);
  EXPECT_NEAR(ratio.high, 0.5 / 20, 1e-12);
}

TEST(SpecificityTest, AFewCensoredRecoveriesMoveTheMedianOnly) {
  const Estimate ratio = specificity_per_nat(
      budgets(mixed(48, 3, 0, 0)), budgets(mixed(44, 2, 4, NAN)), in_clusters(48, 48), {20, 20});
  EXPECT_DOUBLE_EQ(ratio.value, 1.5);
  EXPECT_DOUBLE_EQ(ratio.low, 1.5);
  EXPECT_DOUBLE_EQ(ratio.high, 1.5);
}

TEST(SpecificityTest, BothCensoredSayNothing) {
  const Estimate ratio = specificity_per_nat(
      budgets(mixed(0, 0, 48, NAN)), budgets(mixed(0, 0, 48, NAN)), in_clusters(48, 48), {80, 20});
  EXPECT_EQ(ratio.low, 0);
  EXPECT_TRUE(std::isinf(ratio.high));
}

TEST(SpecificityTest, FewerThanSixClustersBoundNoMedian) {
  const Results inject = budgets(mixed(48, 3, 0, 0)), recover = budgets(mixed(48, 2, 0, 0));
  const Estimate five = specificity_per_nat(inject, recover, in_clusters(48, 5), {20, 20});
  EXPECT_DOUBLE_EQ(five.value, 1.5);
  EXPECT_EQ(five.low, 0);
  EXPECT_TRUE(std::isinf(five.high));
  EXPECT_DOUBLE_EQ(specificity_per_nat(inject, recover, in_clusters(48, 6), {20, 20}).low, 1.5);
  EXPECT_TRUE(std::isnan(specificity_per_nat({}, recover, in_clusters(48, 5), {20, 20}).value));
}

}  // namespace
}  // namespace rebound
