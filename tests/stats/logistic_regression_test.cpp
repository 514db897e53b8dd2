#include "rebound/stats/logistic_regression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "logistic_samples.h"
#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "support/failures.h"

namespace rebound {
namespace {

struct GoldenTask {
  std::string name;
  Samples samples;
  Json fits;
};

std::vector<GoldenTask> golden_tasks() {
  const Json golden = read_json_file(std::string(REBOUND_SOURCE_DIR) +
                                     "/tests/stats/golden/logistic_regression.json");
  std::vector<GoldenTask> tasks;
  for (const Json& task : golden.at("tasks")) {
    Samples samples = {.d = static_cast<int64_t>(task.at("x").at(0).size())};
    for (const Json& row : task.at("x")) {
      for (const Json& value : row) samples.x.push_back(static_cast<float>(value.get<double>()));
    }
    for (const Json& label : task.at("y")) samples.is_positive.push_back(label.get<int>() == 1);
    tasks.push_back({task.at("task"), samples, task.at("fits")});
  }
  return tasks;
}

LogisticFit fit_as(const Samples& samples, const std::string& penalty, double c) {
  if (penalty == "l2") return fit_l2(samples, {.lambda = 1 / c, .tolerance = 1e-9});
  return fit_l1(samples, 1 / c, {.tolerance = 1e-9});
}

TEST(LogisticRegressionTest, CoefficientsEqualScikitLearnOnThreeRealTasks) {
  const auto tasks = golden_tasks();
  ASSERT_EQ(tasks.size(), 3u);
  for (const GoldenTask& task : tasks) {
    ASSERT_EQ(task.fits.size(), 4u);
    for (const Json& golden : task.fits) {
      SCOPED_TRACE(concat(task.name, " ", golden.at("penalty"), " ", golden.at("c")));
      const LogisticFit fit = fit_as(task.samples, golden.at("penalty"), golden.at("c"));
      EXPECT_EQ(fit.end, FitEnd::kConverged);
      for (size_t j = 0; j < fit.model.weight.size(); ++j) {
        EXPECT_NEAR(fit.model.weight[j], golden.at("weight").at(j).get<double>(), 1e-4) << j;
      }
      EXPECT_NEAR(fit.model.intercept, golden.at("intercept").get<double>(), 1e-4);
    }
  }
}

TEST(LogisticRegressionTest, L2GradientIsZeroByFiniteDifferences) {
  const Samples samples = random_samples(80, 6, 11);
  const double lambda = 0.7, h = 1e-4;
  const LogisticFit fit = fit_l2(samples, {.lambda = lambda});
  const auto slope = [&](const std::function<double&(LinearModel&)>& entry) {
    LinearModel up = fit.model, down = fit.model;
    entry(up) += h;
    entry(down) -= h;
    return (l2_objective(samples, up, lambda) - l2_objective(samples, down, lambda)) / (2 * h);
  };
  for (size_t j = 0; j < 6; ++j) {
    EXPECT_NEAR(slope([j](LinearModel& m) -> double& { return m.weight[j]; }), 0, 1e-5);
  }
  EXPECT_NEAR(slope([](LinearModel& m) -> double& { return m.intercept; }), 0, 1e-5);
  EXPECT_GT(std::fabs(fit.model.weight[0]), 0.1);
}

TEST(LogisticRegressionTest, ABalancedPairHasTheWeightOfItsEquation) {
  // x = +-1 with its own label, twice: w = 2 / (lambda (1 + e^w)), b = 0.
  const Samples samples = {.d = 1, .x = {1, -1}, .is_positive = {true, false}};
  const LogisticFit fit = fit_l2(samples, {.lambda = 0.5});
  const double w = fit.model.weight[0];
  EXPECT_NEAR(w, 2 / (0.5 * (1 + std::exp(w))), 1e-7);
  EXPECT_NEAR(fit.model.intercept, 0, 1e-9);
}

TEST(LogisticRegressionTest, WithoutInformationOnlyTheInterceptIsLeft) {
  const Samples samples = {.d = 1, .x = {0, 0, 0, 0}, .is_positive = {true, false, true, true}};
  EXPECT_NEAR(fit_l2(samples).model.intercept, std::log(3), 1e-6);
  EXPECT_TRUE(fit_l1_path(samples).empty());
}

TEST(LogisticRegressionTest, SeparableClassesWithHardlyAnyPenaltyConverge) {
  const Samples samples = {.d = 1, .x = {-2, -1, 1, 2}, .is_positive = {false, false, true, true}};
  const LogisticFit fit = fit_l2(samples, {.lambda = 1e-6});
  EXPECT_EQ(fit.end, FitEnd::kConverged);
  EXPECT_GT(fit.model.weight[0], 5);
}

TEST(LogisticRegressionTest, StandardisedAndRawModelsGiveTheSameScores) {
  Samples samples = random_samples(50, 4, 12);
  for (size_t i = 0; i < samples.x.size(); ++i) {
    samples.x[i] = i % 4 == 3 ? 5.0F : samples.x[i] * static_cast<float>(1 + i % 4 * 10) + 3;
  }
  const Standardiser standardiser = standardiser_of(samples);
  EXPECT_EQ(standardiser.scale[3], 1);
  Samples scaled = samples;
  standardiser.apply(scaled.x);
  const LogisticFit fit = fit_l2(scaled);
  const auto expected = fit.model.scores(scaled.x);
  const auto got = standardiser.on_raw(fit.model).scores(samples.x);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-4);
}

TEST(LogisticRegressionTest, LargestMeanDifferencesAreSortedBySize) {
  // Means of positives minus negatives: 1, -3, 0, 2.
  const Samples samples = {
      .d = 4, .x = {1, 0, 7, 2, /**/ 0, 3, 7, 0}, .is_positive = {true, false}};
  EXPECT_EQ(largest_mean_differences(samples, 3), (std::vector<int64_t>{1, 3, 0}));
  EXPECT_EQ(largest_mean_differences(samples, 9).size(), 4u);
}

TEST(LogisticRegressionTest, BadSamplesAndOptionsAreClearErrors) {
  const Samples one_class = {.d = 1, .x = {1, 2}, .is_positive = {true, true}};
  EXPECT_EQ(message_of<DataError>([&] { fit_l2(one_class); }),
            "labels: got 2 positive and 0 negative examples, expected some of both");
  const Samples with_nan = {.d = 1, .x = {1, NAN}, .is_positive = {true, false}};
  EXPECT_EQ(message_of<DataError>([&] { fit_l1_path(with_nan); }),
            "samples: got NaN or infinity, expected finite features");
  const Samples short_rows = {.d = 2, .x = {1, 2}, .is_positive = {true, false}};
  EXPECT_EQ(message_of<DataError>([&] { fit_l2(short_rows); }),
            "samples: got 2 values, expected 2 examples of 2 features");
  const Samples good = random_samples(10, 2, 13);
  EXPECT_EQ(message_of<ConfigError>([&] { fit_l2(good, {.lambda = 0}); }),
            "L2Options.lambda must be > 0, got 0");
}

}  // namespace
}  // namespace rebound
