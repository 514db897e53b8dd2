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
