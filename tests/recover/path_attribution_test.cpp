#include "rebound/recover/path_attribution.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "recover/recover_fixture.h"

namespace rebound {
namespace {

constexpr size_t kClampedPart = 0, kOtherPart = 1, kResidualPart = 2;

at::Tensor fitted_delta(const Setting& s, const char* rung) {
  const Constraint constraint = s.constraint(rung);
  return solve(s.problem, constraint, {.max_steps = 40}).delta;
}

// On a linear problem every figure is a linear functional of the part: parts add up, and the
// Shapley value of a part is its own score.
TEST(PathAttributionTest, PartsSumToDeltaOnALinearProblem) {
  Setting s = toy_setting(ToyKind::kFeatureRouted);
  Rng rng({4});
  make_linear(s, random_tensor(rng, {48}), at::ones({8}));
  const at::Tensor delta = random_delta(s.problem, 0.6);
  const PathAttribution path = attribute_path(s.problem, delta, {});
  const at::Tensor scores = scores_of(s.problem, delta);
  for (size_t i = 0; i < 8; ++i) {
    const double full = scores[static_cast<int64_t>(i)].item<double>();
    EXPECT_NEAR(path.full[i], full, 1e-4);
    EXPECT_NEAR(path.none[i], 0, 1e-6);
    double replayed = 0;
    for (const PartFigures& part : path.parts) {
      replayed += part.replay[i];
      EXPECT_NEAR(part.knock_out[i], full - part.replay[i], 1e-4);
      EXPECT_NEAR(part.shapley[i], part.replay[i], 1e-4);
      const double norm = norm_of(delta[static_cast<int64_t>(i)]);
      if (part.norm[i] > 1e-3) {
        EXPECT_NEAR(part.norm_matched[i], part.replay[i] * norm / part.norm[i], 1e-3);
      }
    }
    EXPECT_NEAR(replayed, full, 1e-4);
  }
}

TEST(PathAttributionTest, ShapleyValuesShareOutTheGain) {
  const Setting s = tiny_setting();
  const at::Tensor delta = random_delta(s.problem, 0.5);
  const PathAttribution path = attribute_path(s.problem, delta, {});
  const at::Tensor scores = scores_of(s.problem, delta);
  for (size_t i = 0; i < 8; ++i) {
    double total = 0;
    for (const PartFigures& part : path.parts) total += part.shapley[i];
    EXPECT_NEAR(total, path.full[i] - path.none[i], 1e-3) << i;
    EXPECT_NEAR(path.full[i], scores[static_cast<int64_t>(i)].item<double>(), 1e-3) << i;
  }
}

TEST(PathAttributionTest, TheClampedPartIsZeroUnderTheEncoderRung) {
  const Setting s = tiny_setting();
  const PathAttribution path =
      attribute_path(s.problem, s.constraint("encoder").project(random_delta(s.problem, 0.5)), {});
  const PathAttribution free = attribute_path(s.problem, random_delta(s.problem, 0.5), {});
  for (const double norm : path.parts[kClampedPart].norm) EXPECT_LT(norm, 1e-5);
  EXPECT_GT(
      *std::max_element(free.parts[kClampedPart].norm.begin(), free.parts[kClampedPart].norm.end()),
      0.1);
}

TEST(PathAttributionTest, ALeakOutsideTheDictionaryIsTheResidual) {
  const Setting s = toy_setting(ToyKind::kLeaky);
  const PathAttribution path = attribute_path(s.problem, fitted_delta(s, "encoder_decoder"), {});
  EXPECT_EQ(path.main_route(), Part::kResidual);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_GT(path.full[i], 0);
    EXPECT_GT(path.parts[kResidualPart].norm_matched[i], 0);
    EXPECT_LT(path.parts[kResidualPart].knock_out[i], 0);
    EXPECT_LT(path.parts[kOtherPart].replay[i], 0);
  }
}

TEST(PathAttributionTest, ARouteThroughAFeatureIsThatFeature) {
  const Setting s = toy_setting(ToyKind::kFeatureRouted);
  const Toy toy = make_toy(ToyKind::kFeatureRouted);
  const PathAttribution path =
      attribute_path(s.problem, fitted_delta(s, "encoder_decoder"), {.top_k = 4});
  EXPECT_EQ(path.main_route(), Part::kOther);
  Sae::Features top = path.top_features;
  std::sort(top.begin(), top.end());
  EXPECT_EQ(top, toy.route_features);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_GT(path.parts[kOtherPart].replay[i], 0);
    EXPECT_LT(path.parts[kOtherPart].knock_out[i], 0);
    EXPECT_GT(path.top_replay[i], 0);
    EXPECT_LT(path.top_knock_out[i], 0);
  }
}

TEST(PathAttributionTest, UndoingTheClampTravelsThroughTheClampedFeatures) {
  const Setting s = toy_setting(ToyKind::kLeaky);
  const PathAttribution path = attribute_path(s.problem, s.h_base - s.problem.segment.resid(), {});
  EXPECT_EQ(path.main_route(), Part::kClamped);
}

TEST(PathAttributionTest, AllOtherFeaturesTogetherAreTheOtherPart) {
  const Setting s = tiny_setting();
  const at::Tensor delta = random_delta(s.problem, 0.5);
  // 40 features, 4 of them clamped; asking for more gives no clamped one.
  const PathAttribution path = attribute_path(s.problem, delta, {.top_k = 1000});
  ASSERT_EQ(path.top_features.size(), 36U);
  for (const int64_t feature : s.defence->features()) {
    EXPECT_EQ(std::count(path.top_features.begin(), path.top_features.end(), feature), 0);
  }
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(path.top_replay[i], path.parts[kOtherPart].replay[i], 1e-3);
    EXPECT_NEAR(path.top_knock_out[i], path.parts[kOtherPart].knock_out[i], 1e-3);
  }
}

TEST(PathAttributionTest, TheRandomDirectionHasDeltasNormAndDependsOnTheSeed) {
  Setting s = toy_setting(ToyKind::kLeaky);
  // score = |delta| along one axis at most; over all axes the squares must add to |delta|^2.
  const at::Tensor delta = random_delta(s.problem, 0.6);
  std::vector<double> squares(8, 0);
  for (int64_t axis = 0; axis < 48; ++axis) {
    make_linear(s, at::eye(48)[axis], at::ones({8}));
    const PathAttribution path = attribute_path(s.problem, delta, {.seed = 5});
    for (size_t i = 0; i < 8; ++i) squares[i] += path.random[i] * path.random[i];
  }
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(std::sqrt(squares[i]), norm_of(delta[static_cast<int64_t>(i)]), 1e-3);
  }
  EXPECT_EQ(attribute_path(s.problem, delta, {.seed = 5}).random,
            attribute_path(s.problem, delta, {.seed = 5}).random);
  EXPECT_NE(attribute_path(s.problem, delta, {.seed = 5}).random,
            attribute_path(s.problem, delta, {.seed = 6}).random);
}

}  // namespace
}  // namespace rebound
