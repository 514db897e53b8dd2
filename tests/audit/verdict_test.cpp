#include "rebound/audit/verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rebound {
namespace {

constexpr Estimate kUnmeasured{NAN, NAN, NAN};

// 30 of 40 flips come back, clearly above random, with nothing specific.
VerdictInput found() {
  return {.row = "encoder_decoder/logit_diff/per_prompt@20",
          .budget = 20,
          .n_valid = 40,
          .recovered = 30,
          .binding_share = 1,
          .above_random = {0.5, 0.3, 0.7},
          .specificity = {1.05, 0.9, 1.2},
          .shared_above_wrong = {0.1, -0.1, 0.3}};
}

std::string verdict_of(const VerdictInput& input) { return decide(input, {}).verdict; }

void expect_plain_words(const Verdict& verdict) {
  for (const char* word : {"nan", "NaN", "inf", "null"}) {
    EXPECT_EQ(verdict.text.find(word), std::string::npos) << verdict.text;
  }
  ASSERT_FALSE(verdict.text.empty());
  EXPECT_EQ(verdict.text.back(), '.');
  EXPECT_EQ(verdict.text.find('\n'), std::string::npos);
}

TEST(VerdictTest, FewerThanTwentyFlipsAreUndetermined) {
  VerdictInput input = found();
  input.n_valid = input.recovered = 19;
  const Verdict verdict = decide(input, {});
  EXPECT_EQ(verdict.verdict, "undetermined");
  EXPECT_NE(verdict.text.find("19"), std::string::npos);
  EXPECT_EQ(verdict.text.find("rate of"), std::string::npos);
  input.n_valid = 20;
  EXPECT_NE(verdict_of(input), "undetermined");
}

TEST(VerdictTest, ZeroFlipsSayNoNumberThatDoesNotExist) {
  const Verdict verdict = decide({.row = "r",
                                  .budget = 20,
                                  .binding_share = NAN,
                                  .above_random = kUnmeasured,
                                  .specificity = kUnmeasured,
                                  .shared_above_wrong = kUnmeasured},
                                 {});
  EXPECT_EQ(verdict.verdict, "undetermined");
  expect_plain_words(verdict);
}

TEST(VerdictTest, AConstraintThatBindsOnFewerThanHalfOfTheExamplesIsUndetermined) {
  VerdictInput input = found();
  input.binding_share = 0.49;
  const Verdict verdict = decide(input, {});
  EXPECT_EQ(verdict.verdict, "undetermined");
  EXPECT_NE(verdict.text.find("49 %"), std::string::npos) << verdict.text;
  input.binding_share = 0.5;
  EXPECT_EQ(verdict_of(input), "non-specific");
}

TEST(VerdictTest, AFailedPowerCheckIsUndeterminedEvenWithoutAnyRecovery) {
  VerdictInput input = found();
  input.recovered = 0;
  input.above_random = {0, 0, 0};
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
  input.has_power_failed = true;
  EXPECT_EQ(verdict_of(input), "undetermined");
}

// Wilson's upper bound: 0 of 34 -> 0.1015, 0 of 35 -> 0.0989, 1 of 56 -> 0.0945, 1 of 50 -> 0.105.
TEST(VerdictTest, ABottleneckNeedsAnUpperBoundOfTenPercentAndThirtyFiveFlips) {
  VerdictInput input = found();
  input.above_random = {0, 0, 0};
  input.recovered = 0;
  input.n_valid = 34;
  EXPECT_EQ(verdict_of(input), "partial");
  EXPECT_EQ(decide(input, {.bottleneck_rate = 0.2}).verdict, "partial");
  input.n_valid = 35;
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
  EXPECT_EQ(decide(input, {.min_valid_for_bottleneck = 36}).verdict, "partial");
  input.recovered = 1;
  input.n_valid = 50;
  EXPECT_EQ(verdict_of(input), "partial");
  input.n_valid = 56;
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
}

TEST(VerdictTest, ABottleneckNamesItsBudget) {
  VerdictInput input = found();
  input.recovered = 0;
  input.budget = 7.5;
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 7.5");
}

// Even one recovery in 56 clearly above random is a bottleneck: the rules have an order.
TEST(VerdictTest, TheBottleneckRuleComesBeforeTheHandleRule) {
  VerdictInput input = found();
  input.n_valid = 56;
  input.recovered = 1;
  input.specificity = {3, 2, 4};
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
}

TEST(VerdictTest, AHandleIsClearlyAboveRandomAndSpecificByEitherRoad) {
  VerdictInput input = found();
  input.specificity = {1.3, 1.001, 1.6};
  EXPECT_EQ(verdict_of(input), "handle");
  input.specificity = {1.3, 1.0, 1.6};
  EXPECT_EQ(verdict_of(input), "non-specific");
  input.shared_above_wrong = {0.3, 0.001, 0.6};
  EXPECT_EQ(verdict_of(input), "handle");
  input.shared_above_wrong = {0.3, 0.0, 0.6};
  EXPECT_EQ(verdict_of(input), "non-specific");
}

TEST(VerdictTest, NothingSpecificMeasuredIsNonSpecificInPlainWords) {
  VerdictInput input = found();
  input.specificity = input.shared_above_wrong = kUnmeasured;
  const Verdict verdict = decide(input, {});
  EXPECT_EQ(verdict.verdict, "non-specific");
  expect_plain_words(verdict);
  EXPECT_NE(verdict.text.find("not measured"), std::string::npos);
}

TEST(VerdictTest, RecoveryNotClearlyAboveRandomIsPartial) {
  VerdictInput input = found();
  input.specificity = {3, 2, 4};
  input.above_random = {0.1, 0.0, 0.2};
  EXPECT_EQ(verdict_of(input), "partial");
  input.above_random = {0.1, 0.001, 0.2};
  EXPECT_EQ(verdict_of(input), "handle");
}

TEST(VerdictTest, WithoutControlsItIsPartialAndSaysSo) {
  VerdictInput input = found();
  input.above_random = input.specificity = input.shared_above_wrong = kUnmeasured;
  const Verdict verdict = decide(input, {});
  EXPECT_EQ(verdict.verdict, "partial");
  EXPECT_NE(verdict.text.find("Controls were off"), std::string::npos);
  expect_plain_words(verdict);
}

// Every injection censored: the ratio is infinite, which is measured and specific.
TEST(VerdictTest, AnInfiniteSpecificityIsSaidInWords) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  VerdictInput input = found();
  for (const Estimate& ratio : {Estimate{kInf, kInf, kInf}, Estimate{2.5, 1.5, kInf}}) {
    input.specificity = ratio;
    const Verdict verdict = decide(input, {});
    EXPECT_EQ(verdict.verdict, "handle");
    expect_plain_words(verdict);
    EXPECT_EQ(verdict.text.find("not measured"), std::string::npos) << verdict.text;
  }
}

TEST(VerdictTest, TheTextHoldsTheNumbersThatDecide) {
  const Verdict verdict = decide(found(), {});
  for (const char* part : {"encoder_decoder/logit_diff/per_prompt@20",
                           "30 of 40",
                           "0.50 [0.30, 0.70]",
                           "1.05 [0.90, 1.20]",
                           "0.10 [-0.10, 0.30]"}) {
    EXPECT_NE(verdict.text.find(part), std::string::npos) << part << " in: " << verdict.text;
  }
  expect_plain_words(verdict);
}

}  // namespace
}  // namespace rebound
