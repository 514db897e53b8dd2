#include "rebound/recover/cross_generate.h"

#include <gtest/gtest.h>

#include "cross_fixture.h"
#include "rebound/model/generate_batch.h"

namespace rebound {
namespace {

class CrossGenerateTest : public testing::Test {
 protected:
  std::vector<std::vector<int64_t>> prompts() const {
    std::vector<std::vector<int64_t>> ids;
    for (const TargetAnswer& answer : setting.answers) ids.push_back(answer.prompt);
    return ids;
  }
  AttackedAnswers run(const at::Tensor& delta, Span span, int64_t tokens = 9) const {
    return generate_attacked(
        setting.model, *setting.plan, prompts(), delta, span, {.max_new_tokens = tokens});
  }
  CrossSetting setting;
  CrossProblem problem = setting.problem();
};

TEST_F(CrossGenerateTest, WithoutPerturbationAnswersAreTheDefendedOnes) {
  GenerateBatchOptions options;
  options.max_new_tokens = 9;
  const auto defended = generate_batch(setting.model, prompts(), options, setting.plan->hooks());
  for (const Span span : {Span::kNone, Span::kEncoder}) {
    const AttackedAnswers answers = run(problem.zero_delta(), span);
    EXPECT_EQ(answers.tokens, defended);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_LT(answers.drift_rel[i], 1e-5);
      EXPECT_LT(answers.norm[i], 1e-3);
    }
  }
}

TEST_F(CrossGenerateTest, ForwardProjectionHoldsWhileGenerating) {
  const at::Tensor delta = random_delta(problem, 5, 1.0);
  const AttackedAnswers freely = run(delta, Span::kNone), held = run(delta, Span::kEncoder);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GT(freely.drift_rel[i], 1e-2);
    EXPECT_LT(held.drift_rel[i], 1e-5);
    EXPECT_GT(held.norm_after[i], 0);  // the projection goes on after delta's five rows
    EXPECT_EQ(freely.norm_after[i], 0);
  }
}

TEST_F(CrossGenerateTest, AnswersAreTheSameWithoutTheTwin) {
  const at::Tensor delta = random_delta(problem, 5, 1.0);
  const AttackedAnswers alone = generate_attacked(setting.model,
                                                  *setting.plan,
                                                  prompts(),
                                                  delta,
                                                  Span::kNone,
                                                  {.max_new_tokens = 9, .has_twin = false});
  EXPECT_EQ(alone.tokens, run(delta, Span::kNone).tokens);
  EXPECT_NE(alone.tokens, run(problem.zero_delta(), Span::kNone).tokens);
  EXPECT_TRUE(std::isnan(alone.drift_rel[0]));
  EXPECT_THROW(
      generate_attacked(
          setting.model, *setting.plan, prompts(), delta, Span::kEncoder, {.has_twin = false}),
      ConfigError);
}

// A solution whose whole target is greedy with the target forced writes it when it generates: the
// forced run and the decoder agree on where delta goes.
TEST_F(CrossGenerateTest, AWonSearchWritesItsTarget) {
  const CrossSolution solution =
      solve_cross(problem, cross_rung_of("none"), {.budget = 200, .max_steps = 150, .lr = 0.1});
  const AttackedAnswers answers = run(solution.delta, Span::kNone);
  int won = 0;
  for (size_t i = 0; i < 3; ++i) {
    if (!solution.is_won[i]) continue;
    ++won;
    const std::vector<int64_t>& target = setting.answers[i].answer;
    const size_t n = std::min<size_t>(target.size(), 5);
    EXPECT_TRUE(std::equal(
        target.begin(), target.begin() + static_cast<std::ptrdiff_t>(n), answers.tokens[i].begin()))
        << i;
  }
  EXPECT_GT(won, 0);
}

TEST_F(CrossGenerateTest, StopTokensEndAnAnswer) {
  const AttackedAnswers all = run(problem.zero_delta(), Span::kNone);
  const int64_t stop = all.tokens[0].at(2);
  const AttackedAnswers ended = generate_attacked(setting.model,
                                                  *setting.plan,
                                                  prompts(),
                                                  problem.zero_delta(),
                                                  Span::kNone,
                                                  {.max_new_tokens = 9, .stop_tokens = {stop}});
  EXPECT_LE(ended.tokens[0].size(), 2u);
}

// The projection goes on behind delta's rows, and what it adds there counts.
TEST_F(CrossGenerateTest, TheWholeAnswerKeepsToTheBudget) {
  constexpr double kBudget = 6;
  const at::Tensor delta =
      scaled_to_budget(problem, random_delta(problem, 5, 1.0), Span::kEncoder, kBudget);
  const auto under = [&](double budget, const at::Tensor& x) {
    return generate_attacked(setting.model,
                             *setting.plan,
                             prompts(),
                             x,
                             Span::kEncoder,
                             {.max_new_tokens = 9, .budget = budget});
  };
  const AttackedAnswers freely = under(0, delta), held = under(kBudget, delta);
  EXPECT_EQ(freely.scale, std::vector<double>(3, 1.0));
  int n_over = 0;
  for (size_t i = 0; i < 3; ++i) {
    const bool was_over = freely.norm[i] > kBudget * (1 + 1e-6);
    n_over += was_over;
    EXPECT_EQ(held.scale[i] < 1, was_over) << i;
    EXPECT_TRUE(held.is_within(i, kBudget)) << held.norm[i];
    EXPECT_GT(held.norm[i], 0.9 * kBudget) << "shrunk further than it had to be";
    EXPECT_LT(held.drift_rel[i], 1e-5);
  }
  EXPECT_GT(n_over, 0);
  // Figures and tokens are those of the scaled perturbation.
  const at::Tensor scale = at::tensor(held.scale).to(at::kFloat).view({3, 1, 1, 1});
  const AttackedAnswers again = under(0, delta * scale);
  EXPECT_EQ(again.tokens, held.tokens);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(again.norm[i], held.norm[i], 1e-4);
}

TEST_F(CrossGenerateTest, AnAnswerThatScalingChangesIsGivenAgain) {
  const at::Tensor delta =
      scaled_to_budget(problem, random_delta(problem, 5, 1.0), Span::kEncoder, 30);
  const auto under = [&](double budget, const at::Tensor& x) {
    return generate_attacked(setting.model,
                             *setting.plan,
                             prompts(),
                             x,
                             Span::kEncoder,
                             {.max_new_tokens = 9, .budget = budget});
  };
  const AttackedAnswers freely = under(0, delta);
  int n_changed = 0, n_kept = 0;
  for (const double budget : {1.0, 4.0, 10.0, 25.0}) {
    const AttackedAnswers held = under(budget, delta);
    const at::Tensor scale = at::tensor(held.scale).to(at::kFloat).view({3, 1, 1, 1});
    const AttackedAnswers again = under(0, delta * scale);
    EXPECT_EQ(again.tokens, held.tokens) << budget;
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(again.norm[i], held.norm[i], 1e-4) << budget;
      EXPECT_NEAR(again.norm_after[i], held.norm_after[i], 1e-4) << budget;
      ++(held.tokens[i] == freely.tokens[i] ? n_kept : n_changed);
    }
  }
  EXPECT_GT(n_changed, 0);
  EXPECT_GT(n_kept, 0);
}

TEST_F(CrossGenerateTest, OfAblatedReadingsThereIsNoRelativeDrift) {
  const auto plan = ablating_plan(setting.model.config());
  const CrossProblem ablated = CrossProblem::record(setting.model, plan, setting.answers, 5);
  const AttackedAnswers answers = generate_attacked(setting.model,
                                                    *plan,
                                                    prompts(),
                                                    random_delta(ablated, 5, 1.0),
                                                    Span::kNone,
                                                    {.max_new_tokens = 4});
  for (const double drift : answers.drift_rel) EXPECT_TRUE(std::isnan(drift)) << drift;
}

}  // namespace
}  // namespace rebound
