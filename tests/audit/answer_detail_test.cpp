#include "rebound/audit/answer_detail.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>

#include "audit/answer_fixture.h"
#include "rebound/audit/answer_judge.h"
#include "rebound/audit/answer_rows.h"

namespace rebound {
namespace {

class AnswerDetailTest : public AnswerBatchTest {
 protected:
  AnswerDetailTest() {
    spec.rows = {AnswerRowSpec::of("none")};
    spec.rows[0].steps = 3;
    spec.controls.is_on = false;
  }
};

double squares_of(const Json& list) {
  double sum = 0;
  for (const Json& value : list) sum += std::pow(value.get<double>(), 2);
  return sum;
}

TEST(MostMovedTest, TheLargestComeFirstAndNoMoreThanEight) {
  const at::Tensor shift = at::tensor({0.0, 3.0, 1.0, 2.0});
  const Json moved = most_moved("site", shift, {10, 11, 12, 13});
  ASSERT_EQ(moved.size(), 3u);  // one did not move
  EXPECT_EQ(moved[0], Json({{"site", "site"}, {"feature", 11}, {"shift", 3.0}}));
  EXPECT_EQ(moved[1].at("feature"), 13);
  EXPECT_EQ(moved[2].at("feature"), 12);
  std::vector<int64_t> many(30);
  EXPECT_EQ(most_moved("site", at::ones({30}), many).size(), 8u);
  EXPECT_TRUE(most_moved("site", at::full({2}, std::nan("")), {1, 2}).empty());
}

TEST_F(AnswerDetailTest, PositionsAndReadingsSumToTheFiguresOfTheWhole) {
  const at::NoGradGuard no_grad;
  batch.flips[1].base_answer.resize(3);  // its padded positions are none
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  Rng rng({4});
  const at::Tensor delta = random_tensor(rng, problem.zero_delta().sizes().vec()) *
                           problem.is_real().view({problem.size(), 1, problem.n_rows(), 1});
  const std::vector<Json> figures =
      forced_figures(problem, delta, Span::kNone, base_log_probs(batch, problem.n_rows()));
  for (size_t i = 0; i < figures.size(); ++i) {
    const Json &positions = figures[i].at("norm_by_position"),
               &moved = figures[i].at("drift_by_feature");
    EXPECT_EQ(positions.size(), i == 1 ? 3u : 5u);
    const double norm = figures[i].at("norm").get<double>();
    EXPECT_NEAR(std::sqrt(squares_of(positions)), norm, 1e-3 * norm);
    // Two directions are all that is read.
    ASSERT_EQ(moved.size(), 2u);
    double squares = 0;
    for (const Json& of : moved) {
      EXPECT_EQ(of.at("feature"), 0);
      squares += std::pow(of.at("shift").get<double>(), 2);
    }
    const double drift = figures[i].at("drift_pre_l2").get<double>();
    EXPECT_NEAR(std::sqrt(squares), drift, 1e-3 * drift);
    EXPECT_GE(moved[0].at("shift").get<double>(), moved[1].at("shift").get<double>());
    EXPECT_NE(moved[0].at("site"), moved[1].at("site"));
    const double scaled = figures[i].at("drift_pre_scaled").get<double>();
    EXPECT_GT(scaled, 0);
    EXPECT_TRUE(std::isfinite(scaled));
  }
}

// Ablated readings are nothing but rounding: relative to them a drift means nothing.
TEST_F(AnswerDetailTest, AblatedReadingsDriftInUnitsOfTheirScale) {
  const at::NoGradGuard no_grad;
  DirectionClamp::Options options{.edit = DirectionEdit::kAblate};
  options.sink_norm = 1e9;
  Rng rng({9});
  std::vector<std::shared_ptr<const Clamp>> clamps = {std::make_shared<const DirectionClamp>(
      Site{1, SiteKind::kResidPre}, random_tensor(rng, {24}), options)};
  batch.plan = std::make_shared<const ClampPlan>(std::move(clamps), subject.model->config());
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  const at::Tensor delta = random_tensor(rng, problem.zero_delta().sizes().vec()) *
                           problem.is_real().view({problem.size(), 1, problem.n_rows(), 1});
  const at::Tensor base = base_log_probs(batch, problem.n_rows());
  for (const Json& moved : forced_figures(problem, delta, Span::kNone, base)) {
    EXPECT_TRUE(moved.at("drift_pre_rel").is_null());
    EXPECT_GT(moved.at("drift_pre_scaled").get<double>(), 0.01);
  }
  for (const Json& still : forced_figures(problem, problem.zero_delta(), Span::kNone, base)) {
    EXPECT_LT(still.at("drift_pre_scaled").get<double>(), 1e-3);
  }
}

TEST_F(AnswerDetailTest, DrawsOfControlsHaveNoLists) {
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  const std::vector<Json> figures = forced_figures(problem, problem.zero_delta(), Span::kNone);
  EXPECT_FALSE(figures[0].contains("norm_by_position"));
}

TEST_F(AnswerDetailTest, StepsAreStoredWhereTheyAreWishedForAndChangeNoResult) {
  const FinishedBatch plain = answer_rows(spec).at(0).run(batch);
  EXPECT_TRUE(plain.traces.empty());
  spec.trace = true;
  const FinishedBatch traced = answer_rows(spec).at(0).run(batch);
  ASSERT_EQ(traced.results.size(), plain.results.size());
  std::map<int64_t, int64_t> steps;
  for (const TracePoint& point : traced.traces) EXPECT_EQ(point.step, steps[point.prompt]++);
  for (size_t i = 0; i < plain.results.size(); ++i) {
    const StoredResult& result = traced.results[i];
    EXPECT_EQ(result.score, plain.results[i].score);
    // One that wins is scored once more before it leaves, unless it wins with the last step.
    EXPECT_GE(steps.at(result.prompt), result.steps);
    EXPECT_LE(steps.at(result.prompt), result.steps + 1);
  }
}

}  // namespace
}  // namespace rebound
