#include "rebound/audit/answer_search.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "audit/answer_fixture.h"
#include "rebound/audit/answer_judge.h"

namespace rebound {
namespace {

class AnswerSearchTest : public AnswerBatchTest {
 protected:
  double norm_with_lr(double lr) {
    AnswerRowSpec row = AnswerRowSpec::of("jacobian_sampled");
    row.steps = 4;
    row.lr = lr;
    return search_answers(batch, row, batch.problem(*subject.model, batch.base_answers()))
        .norm.mean()
        .item<double>();
  }
  CrossProblem exact() const { return batch.problem(*subject.model, batch.base_answers()); }
};

TEST_F(AnswerSearchTest, ThePublishedRowTakesItsStepSize) {
  EXPECT_EQ(AnswerRowSpec::of("jacobian_sampled").lr, 0.03);
  EXPECT_LT(norm_with_lr(0.003), 0.2 * norm_with_lr(0.03));
}

// Generating 9 tokens under a projection adds to what the 5 rows of the target have.
TEST_F(AnswerSearchTest, RecoveredIsWhatStaysWithinTheBudgetToTheEndOfTheAnswer) {
  const CrossProblem problem = exact();
  constexpr double kBudget = 20;
  Rng rng({17});
  const at::Tensor delta = scaled_to_budget(
      problem,
      at::tensor(rng.normals(problem.zero_delta().numel())).view_as(problem.zero_delta()),
      Span::kEncoder,
      kBudget);
  const auto results =
      judge_attacked(batch, problem, delta, {.span = Span::kEncoder, .budget = kBudget});
  const at::Tensor scales = delta_scales(results, batch.flips);
  bool was_any_scaled = false;
  for (size_t i = 0; i < results.size(); ++i) {
    const Json& figures = results[i].figures;
    EXPECT_LE(figures.at("norm_generation").get<double>(), kBudget * (1 + 1e-6));
    EXPECT_TRUE(figures.at("is_within_budget").get<bool>());
    const double scale = figures.at("delta_scale").get<double>();
    EXPECT_FLOAT_EQ(scales[static_cast<int64_t>(i)].item<float>(), static_cast<float>(scale));
    was_any_scaled |= scale < 1;
    if (scale < 1) EXPECT_LT(figures.at("norm").get<double>(), kBudget) << "of the scaled one";
  }
  EXPECT_TRUE(was_any_scaled);
}

TEST_F(AnswerSearchTest, AnAnswerOverTheBudgetIsNotRecovered) {
  AttackedAnswers answers;
  answers.drift_rel = answers.norm_after = {0, 0};
  answers.norm = {40, 40.1};
  answers.scale = {1, 0.9};
  Json figures;
  const AttackTerms projected{.span = Span::kEncoder, .budget = 40};
  EXPECT_TRUE(add_generation_figures(answers, 0, projected, figures));
  EXPECT_FALSE(add_generation_figures(answers, 1, projected, figures));
  EXPECT_FALSE(figures.at("is_within_budget").get<bool>());
  // Without a projection nothing is added behind the rows that the search capped.
  EXPECT_TRUE(add_generation_figures(answers, 1, {.budget = 40}, figures));
}

TEST_F(AnswerSearchTest, OfAblatedReadingsThereIsNoRelativeFigure) {
  std::vector<std::shared_ptr<const Clamp>> clamps;
  Rng rng({23});
  DirectionClamp::Options options{.edit = DirectionEdit::kAblate};
  options.sink_norm = 1e9;
  clamps.push_back(std::make_shared<const DirectionClamp>(
      Site{1, SiteKind::kResidPre}, random_tensor(rng, {24}), options));
  batch.plan = std::make_shared<const ClampPlan>(std::move(clamps), subject.model->config());
  const CrossProblem problem = exact();
  const at::Tensor delta = at::ones_like(problem.zero_delta());
  const Json figures = forced_figures(problem, delta, Span::kNone).front();
  EXPECT_GT(figures.at("drift_post_l2").get<double>(), 1e-3);
  for (const char* key : {"drift_pre_rel", "drift_post_rel", "floor_violation"}) {
    EXPECT_TRUE(figures.at(key).is_null()) << key;
  }
}

}  // namespace
}  // namespace rebound
