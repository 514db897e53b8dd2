#include "rebound/audit/verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rebound {
namespace {

constexpr Estimate kUnmeasured = VerdictInput::kNoEstimate;

// 30 of 40 flips come back, clearly above random, with nothing specific; every prompt is its own
// cluster.
VerdictInput found() {
  return {.row = "encoder_decoder/logit_diff/per_prompt@20",
          .budget = 20,
          .n_valid = 40,
          .recovered = 30,
          .binding_share = 1,
          .above_random = {0.5, 0.3, 0.7},
          .specificity = {1.05, 0.9, 1.2},
          .shared_above_wrong = {0.1, -0.1, 0.3},
          .is_power_measured = true};
}

// With Wilson's interval of its counts.
Verdict decided(VerdictInput input, const VerdictSpec& rules = {}) {
  input.rate = wilson(input.recovered, input.n_valid);
  return decide(input, rules);
}

std::string verdict_of(const VerdictInput& input) { return decided(input).verdict; }

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
  const Verdict verdict = decide({.row = "r", .budget = 20}, {});
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
  EXPECT_EQ(decided(input, {.bottleneck_rate = 0.2}).verdict, "partial");
  input.n_valid = 35;
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
  EXPECT_EQ(decided(input, {.min_valid_for_bottleneck = 36}).verdict, "partial");
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

// A search for minimal budgets that ends nowhere bounds no ratio.
TEST(VerdictTest, NothingSpecificMeasuredIsPartialAndSaysWhatIsMissing) {
  VerdictInput input = found();
  input.shared_above_wrong = kUnmeasured;
  for (const Estimate& nothing : {kUnmeasured, Estimate{0, 0, INFINITY}}) {
    input.specificity = nothing;
    const Verdict verdict = decided(input);
    EXPECT_EQ(verdict.verdict, "partial");
    expect_plain_words(verdict);
    EXPECT_NE(verdict.text.find("Not measured"), std::string::npos) << verdict.text;
    EXPECT_NE(verdict.text.find("another answer"), std::string::npos) << verdict.text;
    EXPECT_EQ(verdict.text.find("random"), std::string::npos) << verdict.text;
  }
}

TEST(VerdictTest, OneSpecificTestThatFailsIsEnoughForNonSpecific) {
  VerdictInput input = found();
  input.specificity = kUnmeasured;
  EXPECT_EQ(verdict_of(input), "non-specific");
  input = found();
  input.shared_above_wrong = kUnmeasured;
  const Verdict verdict = decided(input);
  EXPECT_EQ(verdict.verdict, "non-specific");
  EXPECT_EQ(verdict.text.find("shared"), std::string::npos) << verdict.text;
  expect_plain_words(verdict);
}

// A zero without a power check may be a weak attack.
TEST(VerdictTest, ABottleneckNeedsAPowerCheck) {
  VerdictInput input = found();
  input.recovered = 0;
  input.n_valid = 48;
  input.above_random = {0, 0, 0};
  input.is_power_measured = false;
  const Verdict verdict = decided(input);
  EXPECT_EQ(verdict.verdict, "partial");
  EXPECT_NE(verdict.text.find("planted leak"), std::string::npos) << verdict.text;
  input.is_power_measured = true;
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
}

// 0 of 36 in 4 clusters: the upper bound is Wilson's of 0 in 4, 49 %.
TEST(VerdictTest, ABottleneckRestsOnTheIntervalThatItIsGiven) {
  VerdictInput input = found();
  input.recovered = 0;
  input.n_valid = 36;
  input.above_random = {0, 0, 0};
  EXPECT_EQ(verdict_of(input), "bottleneck at budget 20");
  input.rate = {0, 0.49};
  input.n_clusters = 4;
  const Verdict verdict = decide(input, {});
  EXPECT_EQ(verdict.verdict, "partial");
  EXPECT_NE(verdict.text.find("0 % to 49 %, over 4 groups"), std::string::npos) << verdict.text;
  input.n_clusters = 36;
  EXPECT_EQ(decide(input, {}).text.find("groups"), std::string::npos);
  EXPECT_EQ(decide({.n_valid = 48, .binding_share = 1, .is_power_measured = true}, {}).verdict,
            "partial");  // no interval is no bound
}

TEST(VerdictTest, AnUnknownBindingShareIsPartialWhateverElseIsKnown) {
  for (const int64_t recovered : {0, 30, 40}) {
    VerdictInput input = found();
    input.recovered = recovered;
    input.specificity = {3, 2, 4};
    input.binding_share = NAN;
    const Verdict verdict = decided(input);
    EXPECT_EQ(verdict.verdict, "partial");
    EXPECT_NE(verdict.text.find("whether the constraint binds"), std::string::npos) << verdict.text;
    expect_plain_words(verdict);
    input.has_power_failed = true;
    EXPECT_EQ(verdict_of(input), "undetermined");
  }
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
  input.is_power_measured = false;
  const Verdict verdict = decided(input);
  EXPECT_EQ(verdict.verdict, "partial");
  for (const char* missing : {"planted leak", "random directions", "another answer"}) {
    EXPECT_NE(verdict.text.find(missing), std::string::npos) << verdict.text;
  }
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
