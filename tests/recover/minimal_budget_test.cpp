#include "rebound/recover/minimal_budget.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "recover/recover_fixture.h"

namespace rebound {
namespace {

std::vector<double> budgets_of(const Setting& s, const char* rung, MinimalBudgetOptions options) {
  const Constraint constraint = s.constraint(rung);
  return minimal_budgets(s.problem, constraint, options).norm;
}

class MinimalBudgetTest : public ::testing::TestWithParam<const char*> {};

// score = gain u . delta > goal needs |delta| > goal / (gain |(I - Q Q^T) u|).
TEST_P(MinimalBudgetTest, LinearReadOutHasItsClosedForm) {
  constexpr double kCap = 4;
  Setting s = toy_setting(ToyKind::kLeaky);
  Rng rng({4});
  const at::Tensor u = random_tensor(rng, {48});
  make_linear(s, u, floats({1., 1., 2., 0.5, 1., 1., 3., 1.}));
  s.problem.contests.goal = floats({1., 3., 5., 4., 0.2, 100., 6., -1.});
  const at::Tensor basis = s.constraint(GetParam()).basis();
  const std::vector<double> got = budgets_of(s, GetParam(), {.cap = kCap});
  for (size_t i = 0; i < 7; ++i) {
    const int64_t example = static_cast<int64_t>(i);
    const double gap = s.problem.contests.goal[example].item<double>();
    const double slope =
        s.problem.leak_gain[example].item<double>() * linear_best_gain(u, basis, 1);
    if (gap / slope > kCap) {
      EXPECT_TRUE(std::isinf(got[i])) << i;
      continue;
    }
    EXPECT_GE(got[i], gap / slope * (1 - 1e-5)) << i;
    EXPECT_LE(got[i], gap / slope * 1.02) << i;
  }
  EXPECT_TRUE(std::isinf(got[5]));  // censored
  EXPECT_EQ(got[7], 0);             // wins without a perturbation
}

// On a toy score > 0 is w . (h_def + delta) > 0, although the score itself is not linear.
TEST_P(MinimalBudgetTest, TheToyNeedsItsDeficitOverTheFreeReadOut) {
  const Setting s = toy_setting(ToyKind::kLeaky, 4);
  const at::Tensor basis = s.constraint(GetParam()).basis();
  const std::vector<double> got = budgets_of(s, GetParam(), {.cap = 4});
  for (size_t i = 0; i < got.size(); ++i) {
    const int64_t example = static_cast<int64_t>(i);
    const at::Tensor w = s.read_out(example);
    const double deficit = -w.dot(s.problem.segment.resid()[example][0]).item<double>();
    const double expected = deficit / linear_best_gain(w, basis, 1);
    EXPECT_GE(got[i], expected * (1 - 1e-4)) << i;
    EXPECT_LE(got[i], expected * 1.02) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Rungs,
                         MinimalBudgetTest,
                         ::testing::Values("none", "encoder", "encoder_decoder"));

TEST(MinimalBudgetsTest, ASealedToyIsCensoredOffItsEncoderColumns) {
  const Setting s = toy_setting(ToyKind::kSealed, 4);
  for (const double budget : budgets_of(s, "encoder", {.cap = 20})) {
    EXPECT_TRUE(std::isinf(budget)) << budget;
  }
  for (const double budget : budgets_of(s, "none", {.cap = 20})) EXPECT_LT(budget, 20);
}

TEST(MinimalBudgetsTest, TighterConstraintsNeverNeedLess) {
  const Setting s = toy_setting(ToyKind::kFeatureRouted, 4);
  const std::vector<double> free = budgets_of(s, "none", {.cap = 20});
  const std::vector<double> encoder = budgets_of(s, "encoder", {.cap = 20});
  const std::vector<double> both = budgets_of(s, "encoder_decoder", {.cap = 20});
  for (size_t i = 0; i < free.size(); ++i) {
    EXPECT_LE(free[i], 1.02 * encoder[i]);
    EXPECT_LE(encoder[i], 1.02 * both[i]);
  }
}

// What is reported was seen to win: an attack stopped at the goal wins with that cap, too.
TEST(MinimalBudgetsTest, ATransformersBudgetsLieUnderTheCapWhereTheAttackWins) {
  Setting s = tiny_setting();
  const at::Tensor start = scores_of(s.problem, at::zeros_like(s.problem.segment.resid()));
  s.problem.contests.goal = start + 0.5;
  const std::vector<double> got = budgets_of(s, "encoder", {.cap = 2});
  const Constraint constraint = s.constraint("encoder");
  const Solution at_cap =
      solve(s.problem, constraint, {.max_steps = 60, .stop = StopRule::kAtGoal});
  std::vector<float> allowed;
  for (size_t i = 0; i < got.size(); ++i) {
    if (at_cap.is_won[i]) {
      EXPECT_LE(got[i], 2 * (1 + 1e-6)) << i;
    }
    allowed.push_back(static_cast<float>(std::min(got[i] * 1.1, 2.0)));
  }
  s.problem.budget = at::tensor(allowed);
  const Solution again =
      solve(s.problem, constraint, {.max_steps = 200, .lr = 0.01, .stop = StopRule::kAtGoal});
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isfinite(got[i])) {
      EXPECT_TRUE(again.is_won[i]) << i;
    }
  }
}

// Steps are as long as each example's own budget asks: batch-mates change nothing.
TEST(MinimalBudgetsTest, ABatchGivesWhatSinglesGive) {
  Setting s = tiny_setting();
  const at::Tensor start = scores_of(s.problem, at::zeros_like(s.problem.segment.resid()));
  // Gaps from tiny to large, so that the budgets searched lie far apart.
  s.problem.contests.goal = start + at::logspace(-3, 0.5, start.size(0));
  const Constraint constraint = s.constraint("penalty");
  const MinimalBudgetOptions options{.cap = 6, .rounds = 3, .lr = 1};
  const std::vector<double> together = minimal_budgets(s.problem, constraint, options).norm;
  int n_finite = 0;
  for (size_t i = 0; i < together.size(); ++i) {
    const at::Tensor index = at::tensor({static_cast<int64_t>(i)}, at::kLong);
    const double alone = minimal_budgets(s.problem.select(index), constraint, options).norm[0];
    if (std::isinf(alone)) {
      EXPECT_TRUE(std::isinf(together[i])) << i;
      continue;
    }
    ++n_finite;
    EXPECT_NEAR(together[i], alone, 1e-3 * alone) << i;
  }
  EXPECT_GE(n_finite, 4);
}

TEST(MinimalBudgetsTest, AWinCountsOnlyWhereTheExactProblemHasIt) {
  const Setting s = toy_setting(ToyKind::kLeaky, 4);
  const Constraint constraint = s.constraint("encoder");
  const MinimalBudgets known = minimal_budgets(s.problem, constraint, {.cap = 4});
  const MinimalBudgets same =
      minimal_budgets(s.problem, constraint, {.cap = 4, .exact = &s.problem});
  EXPECT_EQ(same.norm, known.norm);
  EXPECT_EQ(same.is_lost, std::vector<bool>(4, false));
  // Towards the other answer, no win is one.
  Problem never = s.problem;
  never.contests.target = s.problem.contests.rival;
  never.contests.rival = s.problem.contests.target;
  const MinimalBudgets lost = minimal_budgets(s.problem, constraint, {.cap = 4, .exact = &never});
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::isinf(lost.norm[i])) << i;
    EXPECT_TRUE(lost.is_lost[i]) << i;
  }
}

TEST(MinimalBudgetsTest, ImpossibleOptionsAreRefused) {
  EXPECT_THROW(MinimalBudgetOptions{.cap = 0}.validate(), ConfigError);
  EXPECT_THROW(MinimalBudgetOptions{.rounds = -1}.validate(), ConfigError);
}

}  // namespace
}  // namespace rebound
