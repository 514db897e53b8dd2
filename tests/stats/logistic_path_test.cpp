// The L1 solutions of stats/logistic_regression.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "logistic_samples.h"
#include "rebound/stats/logistic_regression.h"
#include "support/failures.h"

namespace rebound {
namespace {

// d/dw_j of sum_i l_i, computed here from the definition; the last entry is the intercept's.
std::vector<double> loss_gradient(const Samples& samples, const LinearModel& model) {
  const std::vector<double> scores = model.scores(samples.x);
  std::vector<double> gradient(model.weight.size() + 1, 0.0);
  for (size_t i = 0; i < scores.size(); ++i) {
    const double slope = 1 / (1 + std::exp(-scores[i])) - (samples.is_positive[i] ? 1 : 0);
    for (size_t j = 0; j < model.weight.size(); ++j) {
      gradient[j] += slope * samples.x[i * model.weight.size() + j];
    }
    gradient.back() += slope;
  }
  return gradient;
}

void expect_kkt(const Samples& samples, const LinearModel& model, double lambda, double within) {
  const std::vector<double> gradient = loss_gradient(samples, model);
  for (size_t j = 0; j < model.weight.size(); ++j) {
    const double w = model.weight[j];
    if (w == 0) {
      EXPECT_LE(std::fabs(gradient[j]), lambda + within) << j;
    } else {
      EXPECT_NEAR(gradient[j], w > 0 ? -lambda : lambda, within) << j;
    }
  }
  EXPECT_NEAR(gradient.back(), 0, within);
}

TEST(LogisticPathTest, EveryStepFulfilsTheKktConditions) {
  const Samples samples = random_samples(60, 200, 21);  // more features than examples
  const auto path = fit_l1_path(samples, {.steps = 20, .min_ratio = 0.02, .max_nonzero = 200});
  ASSERT_EQ(path.size(), 20u);
  for (const L1Step& step : path) {
    SCOPED_TRACE(step.lambda);
    EXPECT_EQ(step.fit.end, FitEnd::kConverged);
    expect_kkt(samples, step.fit.model, step.lambda, 1e-4);
  }
  EXPECT_GT(path.back().nonzero, path.front().nonzero + 10);
}

TEST(LogisticPathTest, AboveTheFirstLambdaEveryWeightIsZero) {
  const Samples samples = random_samples(60, 10, 22);
  const auto path = fit_l1_path(samples, {.steps = 50, .min_ratio = 0.5});
  const double first = path.front().lambda / std::pow(0.5, 1.0 / 50);
  for (const double w : fit_l1(samples, first * 1.001).model.weight) EXPECT_EQ(w, 0);
  EXPECT_EQ(path.front().nonzero, 1);
}

TEST(LogisticPathTest, AWarmStartChangesNothing) {
  const Samples samples = random_samples(80, 30, 23);
  const L1PathOptions options = {.steps = 10, .min_ratio = 0.05, .tolerance = 1e-9};
  const auto path = fit_l1_path(samples, options);
  const LogisticFit cold = fit_l1(samples, path.back().lambda, options);
  for (size_t j = 0; j < 30; ++j) {
    EXPECT_NEAR(path.back().fit.model.weight[j], cold.model.weight[j], 1e-5);
  }
}

TEST(LogisticPathTest, TrueFeaturesEnterFirst) {
  const Samples samples = random_samples(300, 40, 24);
  auto order = order_of_entry(fit_l1_path(samples), 3);
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2}));
}

TEST(LogisticPathTest, EndsOnceEnoughFeaturesAreIn) {
  const auto path = fit_l1_path(random_samples(100, 50, 25), {.max_nonzero = 5});
  EXPECT_GE(path.back().nonzero, 5);
  EXPECT_LT(path[path.size() - 2].nonzero, 5);
}

TEST(LogisticPathTest, OrderOfEntryIsByStepThenByWeight) {
  const auto step = [](std::vector<double> weight) {
    L1Step out;
    out.fit.model.weight = std::move(weight);
    return out;
  };
  const std::vector<L1Step> path = {step({0, 0, 2, 0}), step({1, -3, 0, 0}), step({1, 1, 1, 1})};
  EXPECT_EQ(order_of_entry(path, 4), (std::vector<int64_t>{2, 1, 0, 3}));
  EXPECT_EQ(order_of_entry(path, 2), (std::vector<int64_t>{2, 1}));
}

}  // namespace
}  // namespace rebound
