#include "rebound/scaling/family.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "rebound/base/error.h"
#include "support/failures.h"

namespace rebound {
namespace {

TEST(FamilyTest, EveryRunSpendsItsBudget) {
  const FamilyOptions options;
  for (const RunPlan& plan : plan_family(options)) {
    EXPECT_NEAR(plan.compute() / (plan.budget * options.base_compute), 1, 0.01) << plan.name;
  }
}

TEST(FamilyTest, SizeAndDataGrowTogether) {
  const std::vector<RunPlan> plans = plan_family({});
  ASSERT_EQ(plans.size(), 7u);
  for (size_t i = 0; i < plans.size(); ++i) {
    const double ratio =
        static_cast<double>(plans[i].tokens()) / static_cast<double>(plans[i].shape.parameters());
    EXPECT_NEAR(ratio, 40, 10) << plans[i].name;  // widths come in steps
    if (i == 0) continue;
    EXPECT_GT(plans[i].shape.d_model, plans[i - 1].shape.d_model);
    EXPECT_GT(plans[i].tokens(), plans[i - 1].tokens());
    EXPECT_LT(plans[i].train.lr, plans[i - 1].train.lr);
  }
  EXPECT_DOUBLE_EQ(plans.back().budget / plans.front().budget, 100);
}

TEST(FamilyTest, HeldOutRunsAreMarkedAndEveryRunHasASeedOfItsOwn) {
  std::set<uint64_t> seeds;
  for (const RunPlan& plan : plan_family({})) {
    EXPECT_EQ(plan.is_held_out, plan.budget == 25) << plan.name;
    seeds.insert(plan.seed);
  }
  EXPECT_EQ(seeds.size(), 7u);
}

TEST(FamilyTest, TheLearningRateFallsWithTheRootOfTheWidth) {
  const FamilyOptions options;
  const RunPlan plan = plan_run(options, 16);
  const auto width = static_cast<double>(plan.shape.d_model);
  EXPECT_NEAR(plan.train.lr * std::sqrt(width / 64), options.lr, 1e-12);
  EXPECT_EQ(plan.name, "16x");
  EXPECT_EQ(plan_run(options, 6.3).name, "6.3x");
}

TEST(FamilyTest, BadFamiliesAreRefusedByField) {
  const auto fails_with = [](FamilyOptions options, const std::string& words) {
    const std::string message = message_of<ConfigError>([&] { plan_family(options); });
    EXPECT_NE(message.find(words), std::string::npos) << message;
  };
  fails_with({.base_compute = 0}, "base_compute");
  fails_with({.budgets = {1, 2, 4}}, "expected at least 4");
  fails_with({.budgets = {1, 2, 4, 25}}, "got a budget twice");
  fails_with({.budgets = {1, 2, 4, -8}}, "budgets must be > 0");
  fails_with({.tokens_per_parameter = -1}, "tokens_per_parameter");
  fails_with({.n_layers = 0}, "n_layers");
  fails_with({.base_compute = 1e3}, "expected enough for one step");
}

}  // namespace
}  // namespace rebound
