#include "rebound/scaling/power_law.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "scaling/scaling_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

std::vector<ScalingPoint> points_of(const PowerLaw& law, const std::vector<double>& computes) {
  std::vector<ScalingPoint> points;
  for (const double compute : computes) points.push_back({compute, law.loss_at(compute)});
  return points;
}

const std::vector<double> kComputes = {1e10, 2.5e10, 6e10, 1.6e11, 4e11, 1e12};

TEST(PowerLawTest, LossOfAHandComputedLaw) {
  const PowerLaw law = planted_law();
  EXPECT_NEAR(law.loss_at(1 * kUnit), 5, 1e-12);
  EXPECT_NEAR(law.loss_at(16 * kUnit), 2, 1e-12);
  EXPECT_NEAR(*law.compute_at(3), 4 * kUnit, 1e-3);
}

TEST(PowerLawTest, ComputeIsTheInverseOfLoss) {
  const PowerLaw law{.e = 1.2, .a = 300, .b = 0.21};
  for (const double compute : {1e8, 3e11, 7e15}) {
    EXPECT_NEAR(*law.compute_at(law.loss_at(compute)) / compute, 1, 1e-9);
  }
  EXPECT_FALSE(law.compute_at(1.2).has_value());
  EXPECT_FALSE(law.compute_at(0.5).has_value());
}

class PlantedLawTest : public testing::TestWithParam<PowerLaw> {};

TEST_P(PlantedLawTest, ExactPointsGiveTheirLawBack) {
  const PowerLaw planted = GetParam();
  const PowerLaw fitted = fit_power_law(points_of(planted, kComputes));
  EXPECT_NEAR(fitted.b, planted.b, 1e-5 * planted.b);
  EXPECT_NEAR(fitted.e, planted.e, 1e-5);
  EXPECT_NEAR(fitted.a / planted.a, 1, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Laws,
                         PlantedLawTest,
                         testing::Values(PowerLaw{1.5, 2.0e3, 0.3},
                                         PowerLaw{0.9, 8.0, 0.06},
                                         PowerLaw{0.0, 50.0, 0.13},
                                         PowerLaw{2.0, 1e12, 1.1}));

TEST(PowerLawTest, NoNegativeFloor) {
  // Straight in log compute: a law with a floor would need E far below zero.
  std::vector<ScalingPoint> points;
  for (const double compute : kComputes) points.push_back({compute, 8 - 0.25 * std::log(compute)});
  const PowerLaw law = fit_power_law(points);
  EXPECT_EQ(law.e, 0);
  EXPECT_GT(law.a, 0);
  for (const ScalingPoint& p : points) EXPECT_NEAR(law.loss_at(p.compute), p.loss, 0.15);
}

TEST(PowerLawTest, NoOtherLawOnAGridIsCloser) {
  Rng rng({4});
  std::vector<ScalingPoint> points = points_of({1.4, 900, 0.27}, kComputes);
  for (ScalingPoint& p : points) p.loss += 0.02 * rng.normal();
  const auto squares = [&](const PowerLaw& law) {
    double sum = 0;
    for (const ScalingPoint& p : points) sum += std::pow(p.loss - law.loss_at(p.compute), 2);
    return sum;
  };
  const PowerLaw best = fit_power_law(points);
  for (const double e : {-0.05, 0.0, 0.05}) {
    for (const double a : {0.9, 1.0, 1.1}) {
      for (const double b : {0.98, 1.0, 1.02}) {
        EXPECT_LE(squares(best), squares({best.e + e, best.a * a, best.b * b}) + 1e-12);
      }
    }
  }
}

TEST(PowerLawTest, ScaleOfComputeDoesNotMatter) {
  std::vector<ScalingPoint> points = points_of({1.4, 900, 0.27}, kComputes);
  points[2].loss += 0.03;
  const PowerLaw law = fit_power_law(points);
  for (ScalingPoint& p : points) p.compute *= 1e-6;
  const PowerLaw scaled = fit_power_law(points);
  EXPECT_NEAR(scaled.b, law.b, 1e-6);
  EXPECT_NEAR(scaled.e, law.e, 1e-6);
}

TEST(PowerLawTest, WhatCannotBeFittedIsAnErrorThatSaysWhy) {
  const auto points = points_of(planted_law(), kComputes);
  const auto fails_with = [](std::vector<ScalingPoint> bad, const std::string& words) {
    const std::string message = message_of<NumericError>([&] { fit_power_law(bad); });
    EXPECT_NE(message.find(words), std::string::npos) << message;
  };
  fails_with({points.begin(), points.begin() + 3}, "got 3 runs, expected at least 4");
  std::vector<ScalingPoint> rising = points;
  for (ScalingPoint& p : rising) p.loss = 10 - p.loss;
  fails_with(rising, "expected a loss that falls");
  std::vector<ScalingPoint> zero = points;
  zero[1].compute = 0;
  fails_with(zero, "expected finite numbers > 0");
  fails_with(std::vector<ScalingPoint>(5, points[0]), "expected a loss that falls");
}

TEST(BootstrapFitsTest, ExactPointsHaveNoSpread) {
  const auto points = points_of({1.5, 2e3, 0.3}, kComputes);
  for (const auto& law : bootstrap_fits(points, 20, 0)) {
    ASSERT_TRUE(law.has_value());
    EXPECT_NEAR(law->loss_at(2e11), PowerLaw({1.5, 2e3, 0.3}).loss_at(2e11), 1e-6);
  }
}

TEST(BootstrapFitsTest, SpreadGrowsWithTheResidualsAndASeedRepeatsIt) {
  const auto spread = [](double noise) {
    Rng rng({9});
    std::vector<ScalingPoint> points = points_of({1.5, 2e3, 0.3}, kComputes);
    for (ScalingPoint& p : points) p.loss += noise * rng.normal();
    double low = 1e9, high = 0;
    for (const auto& law : bootstrap_fits(points, 200, 1)) {
      if (!law) continue;
      low = std::min(low, law->loss_at(2e11));
      high = std::max(high, law->loss_at(2e11));
    }
    return high - low;
  };
  EXPECT_GT(spread(0.01), 0.005);
  EXPECT_GT(spread(0.03), 2 * spread(0.01));
  EXPECT_EQ(spread(0.01), spread(0.01));
}

TEST(LeaveOneOutTest, PredictsEachExactPointFromTheOthers) {
  const auto points = points_of({1.5, 2e3, 0.3}, kComputes);
  const auto predictions = leave_one_out(points);
  ASSERT_EQ(predictions.size(), points.size());
  for (size_t i = 0; i < points.size(); ++i) EXPECT_NEAR(*predictions[i], points[i].loss, 1e-4);
  for (const auto& none : leave_one_out({points.begin(), points.begin() + 4})) {
    EXPECT_FALSE(none.has_value());
  }
}

}  // namespace
}  // namespace rebound
