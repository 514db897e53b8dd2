#include "rebound/stats/roc.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "support/failures.h"

namespace rebound {
namespace {

using Scores = std::vector<double>;
using Labels = std::vector<bool>;

struct Sample {
  Scores scores;
  Labels is_positive;
};

// Positives are normal with mean `shift`; scores on a grid, so that there are ties.
Sample normal_sample(int64_t n, double shift, uint64_t seed) {
  Rng rng({seed});
  Sample sample;
  for (int64_t i = 0; i < n; ++i) {
    sample.is_positive.push_back(i % 3 == 0);
    const double score = rng.normal() + (i % 3 == 0 ? shift : 0);
    sample.scores.push_back(std::round(10 * score) / 10);
  }
  return sample;
}

double pair_count(const Sample& s) {
  double wins = 0, pairs = 0;
  for (size_t i = 0; i < s.scores.size(); ++i) {
    for (size_t j = 0; j < s.scores.size(); ++j) {
      if (!s.is_positive[i] || s.is_positive[j]) continue;
      pairs += 1;
      wins += s.scores[i] > s.scores[j] ? 1 : s.scores[i] == s.scores[j] ? 0.5 : 0;
    }
  }
  return wins / pairs;
}

// Positives 5, 3, 2 against 4, 2, 1: 3 + 2 + (1 + 1/2) of 9 pairs.
TEST(AurocTest, HandMadeList) {
  EXPECT_DOUBLE_EQ(auroc({5, 4, 3, 2, 2, 1}, {true, false, true, true, false, false}), 6.5 / 9);
  EXPECT_DOUBLE_EQ(auroc({1, 2}, {false, true}), 1);
  EXPECT_DOUBLE_EQ(auroc({2, 1}, {false, true}), 0);
  EXPECT_DOUBLE_EQ(auroc({3, 3, 3}, {false, true, true}), 0.5);
}

TEST(AurocTest, EqualsTheShareOfPairsWon) {
  const Sample sample = normal_sample(120, 0.7, 1);
  EXPECT_NEAR(auroc(sample.scores, sample.is_positive), pair_count(sample), 1e-12);
}

TEST(AurocTest, MonotoneMapsChangeNothingAndASignFlipMirrors) {
  const Sample sample = normal_sample(90, 0.4, 2);
  Scores mapped, flipped;
  for (const double s : sample.scores) {
    mapped.push_back(std::exp(3 * s) - 7);
    flipped.push_back(-s);
  }
  const double area = auroc(sample.scores, sample.is_positive);
  EXPECT_DOUBLE_EQ(auroc(mapped, sample.is_positive), area);
  EXPECT_NEAR(auroc(flipped, sample.is_positive), 1 - area, 1e-12);
  EXPECT_DOUBLE_EQ(tpr_at_fpr(mapped, sample.is_positive),
                   tpr_at_fpr(sample.scores, sample.is_positive));
}

TEST(AurocTest, OneClassOrNanIsAClearError) {
  EXPECT_EQ(message_of<DataError>([] {
              auroc({1, 2}, {true, true});
            }),
            "labels: got 2 positive and 0 negative examples, expected some of both");
  EXPECT_EQ(message_of<DataError>([] {
              auroc({1, NAN}, {true, false});
            }),
            "scores: got NaN, expected numbers");
  EXPECT_EQ(message_of<DataError>([] {
              auroc({1}, {true, false});
            }),
            "scores: got 1, expected 2 as labels");
}

TEST(TprAtFprTest, FewNegativesMeanNoneAboveTheThreshold) {
  // Two of four positives above the best negative; the third ties with it.
  EXPECT_DOUBLE_EQ(tpr_at_fpr({9, 8, 5, 1, 5, 0}, {true, true, true, true, false, false}), 0.5);
}

TEST(TprAtFprTest, OnePerCentOfTwoHundredNegativesIsTwo) {
  Scores scores;
  Labels labels;
  for (int i = 0; i < 200; ++i) {
    scores.push_back(i);
    labels.push_back(false);
  }
  for (const double score : {300.0, 198.5, 197.5, 196.5}) {
    scores.push_back(score);
    labels.push_back(true);
  }
  EXPECT_DOUBLE_EQ(tpr_at_fpr(scores, labels), 0.75);  // 198 and 199 lie above 197.5
  EXPECT_DOUBLE_EQ(tpr_at_fpr(scores, labels, 0.0), 0.25);
  EXPECT_DOUBLE_EQ(tpr_at_fpr(scores, labels, 0.015), 1.0);
}

// Hanley & McNeil 1982: standard error of an area A with m positives and n negatives.
TEST(AurocIntervalTest, WidthMatchesHanleyAndMcNeil) {
  const Sample s = normal_sample(600, 1.0, 3);
  const Estimate estimate = auroc_interval(s.scores, s.is_positive, {.draws = 2000});
  const double a = estimate.value, q1 = a / (2 - a), q2 = 2 * a * a / (1 + a), m = 200, n = 400;
  const double variance = (a * (1 - a) + (m - 1) * (q1 - a * a) + (n - 1) * (q2 - a * a)) / (m * n);
  EXPECT_NEAR((estimate.high - estimate.low) / (2 * 1.96 * std::sqrt(variance)), 1, 0.12);
  EXPECT_LT(estimate.low, a);
  EXPECT_GT(estimate.high, a);
}

// One cluster a class: a kind not seen may be a share u = z^2 / (1 + z^2) = 0.793 of all.
TEST(AurocIntervalTest, OneExampleAClassLeavesNearlyAllOpen) {
  const Estimate estimate = auroc_interval({1, 0}, {true, false}, {.draws = 50});
  EXPECT_DOUBLE_EQ(estimate.value, 1);
  EXPECT_NEAR(estimate.low, 1 - 0.7935, 1e-4);
  EXPECT_DOUBLE_EQ(estimate.high, 1);
}

TEST(AurocIntervalTest, SeparatedClassesHaveWilsonsBoundOfTheSmallerOne) {
  const Scores scores = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
  const Labels labels = {true, true, true, true, false, false, false, false, false, false};
  const Estimate estimate = auroc_interval(scores, labels, {.draws = 100});
  EXPECT_NEAR(estimate.low, 1 - 0.4899, 1e-4);  // 4 positives: 1 - z^2 / (4 + z^2)
  EXPECT_DOUBLE_EQ(estimate.high, 1);
  const Estimate grouped =
      auroc_interval(scores, labels, {.clusters = {0, 0, 0, 1, 2, 3, 4, 5, 6, 7}, .draws = 100});
  EXPECT_NEAR(grouped.low, 1 - 0.6576, 1e-4);  // 2 clusters of positives
}

// Draws are both clusters or one class alone.
TEST(AurocIntervalTest, AClusterForEachClassHasAWidth) {
  const Estimate estimate = auroc_interval(
      {3, 1, 2, 0}, {true, true, false, false}, {.clusters = {1, 1, 2, 2}, .draws = 50});
  EXPECT_DOUBLE_EQ(estimate.value, 0.75);
  EXPECT_NEAR(estimate.low, 0.75 * (1 - 0.7935), 1e-4);
  EXPECT_NEAR(estimate.high, 0.75 * (1 - 0.7935) + 0.7935, 1e-4);
}

// A cluster of a positive alone, and one of a positive below a negative: of the draws with both
// classes a third have AUROC 0. With those of the positive alone as 0.5 it would be a quarter.
TEST(AurocIntervalTest, DrawsOfOneClassAreLeftOut) {
  const Estimate estimate =
      auroc_interval({1, 0, 0.5}, {true, true, false}, {.clusters = {1, 2, 2}, .confidence = 0.4});
  EXPECT_DOUBLE_EQ(estimate.value, 0.5);
  EXPECT_DOUBLE_EQ(estimate.low, 0);  // the quantile at 0.3
}

TEST(AurocDifferenceTest, AProbeDoesNotDifferFromItself) {
  const Sample s = normal_sample(60, 0.5, 4);
  const Estimate same = auroc_difference(s.scores, s.scores, s.is_positive, {.draws = 100});
  EXPECT_EQ(same.value, 0);
  EXPECT_NEAR(same.low, -0.1611, 1e-4);  // 20 positives, of which none was of another kind
  EXPECT_NEAR(same.high, 0.1611, 1e-4);
  const Sample better = normal_sample(60, 3, 4);
  const Estimate gain = auroc_difference(better.scores, s.scores, s.is_positive, {.draws = 200});
  EXPECT_NEAR(gain.value, pair_count(better) - pair_count(s), 1e-12);
  EXPECT_GT(gain.low, 0);
}

}  // namespace
}  // namespace rebound
