#include "rebound/recover/cross_minimal.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cross_fixture.h"

namespace rebound {
namespace {

AnswerBudgets cross_budgets(const CrossProblem& problem, const CrossProblem* exact) {
  return minimal_answer_budgets(
      problem, cross_rung_of("none"), {.cap = 200, .max_steps = 100, .exact = exact});
}

TEST(CrossMinimalTest, AWinCountsOnlyWhereTheExactProblemHasIt) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  const AnswerBudgets known = cross_budgets(problem, nullptr);
  const AnswerBudgets same = cross_budgets(problem, &problem);
  int n_won = 0;
  for (size_t i = 0; i < 3; ++i) {
    if (std::isinf(known.norm[i])) continue;
    ++n_won;
    EXPECT_NEAR(same.norm[i], known.norm[i], 1e-4 * known.norm[i]) << i;
    EXPECT_FALSE(same.is_lost[i]) << i;
  }
  ASSERT_GT(n_won, 0);
  // Exactly, the model is told other answers: nothing that was found writes them.
  Rng rng({77});
  std::vector<TargetAnswer> others = setting.answers;
  for (TargetAnswer& other : others) {
    other.answer = random_ids(rng, static_cast<int64_t>(other.answer.size()));
  }
  const CrossProblem exact = CrossProblem::record(setting.model, setting.plan, others, 5);
  const AnswerBudgets lost = cross_budgets(problem, &exact);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::isinf(lost.norm[i])) << i;
    EXPECT_EQ(lost.is_lost[i], std::isfinite(known.norm[i])) << i;
  }
}

}  // namespace
}  // namespace rebound
