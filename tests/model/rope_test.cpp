#include "rebound/model/rope.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

namespace rebound {
namespace {

TEST(RopeTest, PlainFrequenciesArePowersOfTheta) {
  const auto frequencies = rope_frequencies(10000.0, 8, {});
  ASSERT_EQ(frequencies.size(), 4u);
  EXPECT_DOUBLE_EQ(frequencies[0], 1.0);
  EXPECT_DOUBLE_EQ(frequencies[1], 0.1);
  EXPECT_NEAR(frequencies[3], 0.001, 1e-15);
}

TEST(RopeTest, LinearScalingDividesAll) {
  const RopeScaling linear{.kind = RopeScaling::Kind::kLinear, .factor = 4};
  EXPECT_DOUBLE_EQ(rope_frequencies(10000.0, 8, linear)[1], 0.025);
}

// Wavelengths 2 pi 10^i: below 16 / 4 = 4 nothing would change, above 16 all of the factor.
TEST(RopeTest, Llama3ScalingLeavesShortWavelengthsAndDividesLongOnes) {
  const RopeScaling scaling{.kind = RopeScaling::Kind::kLlama3,
                            .factor = 8,
                            .low_freq_factor = 1,
                            .high_freq_factor = 4,
                            .original_max_position_embeddings = 16};
  const auto frequencies = rope_frequencies(10000.0, 8, scaling);
  const double share = (16 / (2 * M_PI) - 1) / 3;  // of the wavelength 2 pi, between the two
  EXPECT_NEAR(frequencies[0], (1 - share) / 8 + share, 1e-12);
  EXPECT_DOUBLE_EQ(frequencies[1], 0.1 / 8);
  RopeScaling longer = scaling;
  longer.original_max_position_embeddings = 1000;
  EXPECT_DOUBLE_EQ(rope_frequencies(10000.0, 8, longer)[0], 1.0);
}

TEST(RopeTest, DivisorsOfTheFileAreTaken) {
  const RopeScaling scaling{.kind = RopeScaling::Kind::kDivisors, .divisors = {1, 2}};
  EXPECT_DOUBLE_EQ(rope_frequencies(100.0, 4, scaling)[1], 0.05);
}

// theta = e: of 8 dimensions, the pair that turns r times over the original length is
// 4 ln(original / (2 pi r)).
RopeScaling yarn_between(double first_pair, double last_pair, bool is_whole) {
  const auto rotations = [](double pair) { return 16 / (2 * M_PI) * std::exp(-pair / 4); };
  return {.kind = RopeScaling::Kind::kYarn,
          .factor = 4,
          .original_max_position_embeddings = 16,
          .beta_fast = rotations(first_pair),
          .beta_slow = rotations(last_pair),
          .is_ramp_whole = is_whole};
}

TEST(RopeTest, YarnLeavesPairsBelowItsRampAndDividesThoseAbove) {
  for (const RopeScaling& scaling : {yarn_between(1, 3, false), yarn_between(1.2, 2.8, true)}) {
    const auto frequencies = rope_frequencies(std::exp(1), 8, scaling);
    EXPECT_NEAR(frequencies[0], 1, 1e-12);
    EXPECT_NEAR(frequencies[1], std::exp(-0.25), 1e-12);
    EXPECT_NEAR(frequencies[2], std::exp(-0.5) * (1 + 0.25) / 2, 1e-12);
    EXPECT_NEAR(frequencies[3], std::exp(-0.75) / 4, 1e-12);
  }
  const auto between = rope_frequencies(std::exp(1), 8, yarn_between(1.2, 2.8, false));
  EXPECT_NEAR(between[2], std::exp(-0.5) * (1 - 0.5 + 0.5 / 4), 1e-12);
  EXPECT_NEAR(between[1], std::exp(-0.25), 1e-12);
}

TEST(RopeTest, YarnOfFactorOneChangesNothing) {
  RopeScaling scaling = yarn_between(1, 3, true);
  scaling.factor = 1;
  const auto plain = rope_frequencies(500, 8, {}), scaled = rope_frequencies(500, 8, scaling);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i]);
}

TEST(RopeTest, AttentionFactorsGrowWithTheLogarithmOfTheFactor) {
  EXPECT_EQ(yarn_attention(1), 1);
  EXPECT_EQ(yarn_attention(0.5), 1);
  EXPECT_NEAR(yarn_attention(std::exp(10)), 2, 1e-12);
  EXPECT_NEAR(yarn_attention(std::exp(10), 0.5), 1.5, 1e-12);
  EXPECT_EQ(longrope_attention(1, 4096), 1);
  EXPECT_NEAR(longrope_attention(4096, 4096), std::sqrt(2), 1e-12);
}

TEST(RopeTest, AScaledTableLengthensWhatTurnsAndLeavesTheRest) {
  const RopeTable table({0.5}, 8, at::kCPU, 3);
  const at::Tensor heads = at::tensor({3.f, 4.f, 7.f}).view({1, 1, 1, 3});
  const at::Tensor turned = table.rotate(heads, at::full({1, 1}, 2, at::kLong)).view(-1);
  EXPECT_NEAR(turned.narrow(0, 0, 2).norm().item<float>(), 15, 1e-5);
  EXPECT_EQ(turned[2].item<float>(), 7.f);
}

TEST(RopeTest, APairTurnsByPositionTimesFrequencyAndTheRestStays) {
  const RopeTable table({0.5}, 8, at::kCPU);
  const at::Tensor heads = at::tensor({1.f, 0.f, 7.f, 9.f}).view({1, 1, 1, 4});
  const at::Tensor turned = table.rotate(heads, at::full({1, 1}, 3, at::kLong)).view(-1);
  EXPECT_NEAR(turned[0].item<float>(), std::cos(1.5), 1e-6);
  EXPECT_NEAR(turned[1].item<float>(), std::sin(1.5), 1e-6);
  EXPECT_EQ(turned[2].item<float>(), 7.f);
  EXPECT_EQ(turned[3].item<float>(), 9.f);
}

}  // namespace
}  // namespace rebound
