#include "rebound/recover/cross_solver.h"

#include <gtest/gtest.h>

#include "cross_fixture.h"
#include "rebound/recover/sampled_jacobian.h"
#include "support/failures.h"

namespace rebound {
namespace {

class CrossSolverTest : public testing::Test {
 protected:
  CrossSolution solve(const std::string& rung, CrossSolverOptions options = {}) const {
    if (options.max_steps == CrossSolverOptions().max_steps) options.max_steps = 12;
    options.lr = 0.1;
    return solve_cross(problem, cross_rung_of(rung), options);
  }
  double score_without() const {
    return problem.run(problem.zero_delta(), Span::kNone).score.mean().item<double>();
  }

  CrossSetting setting;
  CrossProblem problem = setting.problem();
};

TEST_F(CrossSolverTest, EveryRungRaisesTheAnswersLogProbabilityWithinItsBudget) {
  for (const CrossRung& rung : cross_ladder()) {
    CrossSolverOptions options{.budget = 6};
    options.lsmr_iterations = 20;
    const CrossSolution solution = solve(rung.name, options);
    EXPECT_GT(solution.score.mean().item<double>(), score_without() + 0.05) << rung.name;
    EXPECT_LE(solution.norm.max().item<double>(), 6 * (1 + 2e-6)) << rung.name;
  }
}

TEST_F(CrossSolverTest, ForwardProjectionDoesNotDriftWhereTheFreeRungDoes) {
  EXPECT_GT(solve("none").drift_rel.min().item<double>(), 1e-2);
  EXPECT_LT(solve("forward_projection").drift_rel.max().item<double>(), 1e-5);
  EXPECT_LT(solve("forward_projection_decoder").drift_rel.max().item<double>(), 1e-5);
}

TEST_F(CrossSolverTest, TheExactJacobianPerturbsOneSiteAndKeepsTheReadings) {
  CrossSolverOptions options{.budget = 3};
  options.lsmr_iterations = 60;
  options.newton_steps = 6;
  const CrossSolution solution = solve("jacobian", options);
  EXPECT_EQ(solution.delta.slice(1, 1).abs().sum().item<double>(), 0);
  EXPECT_LT(solution.drift_rel.max().item<double>(), 1e-2);
  EXPECT_GT(solve("first_site", options).drift_rel.min().item<double>(), solution.drift_rel.max().item<double>());
}

TEST_F(CrossSolverTest, ATraceHasEveryStepAndChangesNothing) {
  for (const char* rung : {"none", "forward_projection", "jacobian_sampled"}) {
    CrossSolverOptions options{.budget = 5};
    options.examples_at_once = 2;
    options.stop = StopRule::kNever;
    const CrossSolution plain = solve(rung, options);
    options.keep_trace = true;
    const CrossSolution traced = solve(rung, options);
    EXPECT_TRUE(at::equal(plain.delta, traced.delta)) << rung;
    EXPECT_TRUE(plain.trace.empty());
    ASSERT_EQ(traced.trace.size(), 3u * 12) << rung;
    const CrossRun start = problem.run(problem.zero_delta(), Span::kNone);
    std::vector<int64_t> next(3, 0);
    for (const TraceEntry& entry : traced.trace) {
      const auto i = static_cast<size_t>(entry.example);
      EXPECT_EQ(entry.step, next.at(i)++);
      if (entry.step > 0) {
        EXPECT_GT(entry.norm, 0);
        continue;
      }
      EXPECT_LT(entry.norm, 1e-5);  // the projection rounds
      EXPECT_NEAR(entry.score, start.score[entry.example].item<double>(), 1e-4);
    }
  }
}

TEST_F(CrossSolverTest, TheStagesOfThePublishedSearchAreOneTrace) {
  CrossSolverOptions options{.budget = 4};
  options.keep_trace = true;
  const CrossSolution solution = solve_published(
      problem, options, {.steps_first = 2, .steps_answer = 3, .budget_first = 3, .budget_answer = 4});
  std::vector<int64_t> next(3, 0);
  for (const TraceEntry& entry : solution.trace)
    EXPECT_EQ(entry.step, next.at(static_cast<size_t>(entry.example))++);
  EXPECT_EQ(next, std::vector<int64_t>(3, 5));
}

TEST_F(CrossSolverTest, ABatchGivesWhatSinglesGive) {
  for (const char* rung : {"none", "penalty", "forward_projection"}) {
    CrossSolverOptions options{.budget = 5};
    options.examples_at_once = 3;
    const CrossSolution together = solve(rung, options);
    options.examples_at_once = 1;
    const CrossSolution alone = solve(rung, options);
    EXPECT_LT((together.score - alone.score).abs().max().item<double>(), 1e-3) << rung;
    EXPECT_LT((together.norm - alone.norm).abs().max().item<double>(), 1e-2) << rung;
  }
}

TEST_F(CrossSolverTest, AWonExampleHasEveryTargetAsGreedyChoice) {
  CrossSolverOptions options{.budget = 200, .max_steps = 150};
  const CrossSolution solution = solve("none", options);
  const CrossRun run = problem.run(solution.delta, Span::kNone);
  int won = 0;
  for (int64_t i = 0; i < problem.size(); ++i) {
    const bool is_greedy = (run.is_argmax[i] == problem.is_real()[i]).all().item<bool>();
    EXPECT_EQ(solution.is_won[static_cast<size_t>(i)], is_greedy);
    won += is_greedy;
    if (solution.termination[static_cast<size_t>(i)] == Termination::kGoal) {
      EXPECT_LT(solution.steps[static_cast<size_t>(i)], 150);
    }
  }
  EXPECT_GT(won, 0);
}

TEST_F(CrossSolverTest, ThePublishedStagesPerturbTheirOwnRows) {
  CrossSolverOptions options{.budget = 6};
  options.objective.refusals = {{4, 7}, {9}};
  const CrossSolution both =
      solve_published(problem, options, {.steps_first = 4, .steps_answer = 4, .budget_first = 2, .budget_answer = 6});
  const CrossSolution opening =
      solve_published(problem, options, {.steps_first = 4, .steps_answer = 0, .budget_first = 2, .budget_answer = 6});
  EXPECT_EQ(opening.delta.slice(2, 1).abs().sum().item<double>(), 0);
  EXPECT_LE(opening.norm.max().item<double>(), 2 * (1 + 1e-5));
  EXPECT_LT((both.delta.slice(2, 0, 1) - opening.delta.slice(2, 0, 1)).abs().max().item<double>(), 1e-6);
  EXPECT_GT(both.delta.slice(2, 1).abs().sum().item<double>(), 0.1);
}

// The published rung's own results are no law: per-coordinate Adam follows the sign of entries at rounding level.
TEST_F(CrossSolverTest, SampledGradientsDoNotDependOnTheBatch) {
  const auto gradient_of = [](const CrossProblem& of, const at::Tensor& at) {
    const at::Tensor delta = at.detach().requires_grad_(true);
    const CrossRun run = of.run(delta, Span::kNone, /*wants_active=*/true);
    return sampled_jacobian_gradient(of, {delta, run, run.score, 200}, {.count = 8, .seed = 3});
  };
  const at::Tensor start = random_delta(problem);
  const at::Tensor together = gradient_of(problem, start);
  for (int64_t i = 0; i < problem.size(); ++i) {
    const at::Tensor index = at::tensor({i}, at::kLong);
    const CrossProblem one = problem.select(index);
    const at::Tensor alone = gradient_of(one, start.index_select(0, index));
    EXPECT_LT((alone - together.index_select(0, index)).norm().item<double>(), 1e-3 * alone.norm().item<double>()) << i;
  }
}

TEST_F(CrossSolverTest, SampledGradientsAreOrthogonalToTheirProbedRows) {
  const at::Tensor delta = random_delta(problem).requires_grad_(true);
  const CrossRun run = problem.run(delta, Span::kNone, /*wants_active=*/true);
  const at::Tensor plain = torch::autograd::grad({-run.score.sum()}, {delta}, {}, /*retain_graph=*/true)[0];
  const at::Tensor projected = sampled_jacobian_gradient(problem, {delta, run, run.score, 0}, {.count = 4, .seed = 1});
  at::Tensor shift = at::zeros({});
  for (size_t i = 0; i < run.active.size(); ++i) {
    const ClampedSite& site = problem.sites()[i];
    const at::Tensor moved = (run.active[i] - site.clamp->read_active(site.h_def)) * problem.is_real().unsqueeze(-1);
    shift = shift + 0.5 * moved.square().sum();
  }
  const at::Tensor along_drift = torch::autograd::grad({shift}, {delta}, {}, /*retain_graph=*/true)[0];
  const auto cosine = [](const at::Tensor& a, const at::Tensor& b) {
    return (a * b).sum().item<double>() / (a.norm() * b.norm()).item<double>();
  };
  EXPECT_LT(projected.norm().item<double>(), plain.norm().item<double>());
  EXPECT_GT(cosine(projected, plain), 0.5);
  EXPECT_GT(std::abs(cosine(plain, along_drift)), 1e-3);
  EXPECT_LT(std::abs(cosine(projected, along_drift)), 1e-4);
}

TEST_F(CrossSolverTest, AnUnknownRungIsAConfigError) {
  EXPECT_NE(message_of<ConfigError>([] { cross_rung_of("jacobean"); }).find("forward_projection"), std::string::npos);
}

}  // namespace
}  // namespace rebound
