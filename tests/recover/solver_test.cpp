#include "rebound/recover/solver.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>

#include "rebound/base/error.h"
#include "recover/recover_fixture.h"

namespace rebound {
namespace {

Solution run(const Setting& s, const char* rung, SolverOptions options) {
  const Constraint constraint = s.constraint(rung);
  return solve(s.problem, constraint, options);
}

class ExactRungTest : public ::testing::TestWithParam<const char*> {};

// |A^T delta| <= 1e-6 |A| |delta| (and the same of the decoder rows), |delta| <= budget.
TEST_P(ExactRungTest, ConstraintAndCapHoldAfterEveryStep) {
  const Setting s = tiny_setting();
  const Constraint constraint = s.constraint(GetParam());
  const at::Tensor rows = s.defence->sae().decoder_rows(s.defence->features());
  const double decoder_norm = at::linalg_svdvals(rows)[0].item<double>();
  bool reached_cap = false;
  for (int64_t steps = 1; steps <= 8; ++steps) {
    const Solution solution = solve(s.problem, constraint, {.max_steps = steps});
    for (int64_t i = 0; i < s.problem.size(); ++i) {
      const at::Tensor delta = solution.delta[i];
      const double norm = norm_of(delta);
      EXPECT_GT(norm, 0.1);
      EXPECT_LE(norm, 2 * (1 + 1e-6));
      reached_cap = reached_cap || norm > 1.999;
      EXPECT_LE(constraint.violation(delta), 1e-6) << steps;
      if (constraint.rung().projected == Span::kEncoderDecoder) {
        EXPECT_LE(norm_of(at::matmul(delta, rows.t())), 1e-6 * decoder_norm * norm) << steps;
      }
    }
  }
  EXPECT_TRUE(reached_cap);
}

// The score is gain u . delta: the most it can be is gain B |(I - Q Q^T) u|.
TEST_P(ExactRungTest, ReachesTheClosedFormOfALinearReadOut) {
  Setting s = toy_setting(ToyKind::kLeaky);
  Rng rng({4});
  const at::Tensor u = random_tensor(rng, {48});
  make_linear(s, u, at::full({8}, 3));
  const Constraint constraint = s.constraint(GetParam());
  const Solution solution = solve(s.problem, constraint, {.max_steps = 100});
  for (int64_t i = 0; i < 8; ++i) {
    const double best =
        3 * linear_best_gain(u, constraint.basis(), s.problem.budget[i].item<double>());
    EXPECT_GE(solution.score[i].item<double>(), 0.99 * best);
    EXPECT_LE(solution.score[i].item<double>(), (1 + 1e-5) * best);
  }
}

INSTANTIATE_TEST_SUITE_P(Rungs, ExactRungTest, ::testing::Values("encoder", "encoder_decoder"));

// Method.md section 2: why `encoder_published` is kept as a reproduction only.
TEST(SolverTest, ThePublishedFilterLeavesTheNullSpaceAgain) {
  const Setting s = tiny_setting();
  const Solution solution = run(s, "encoder_published", {.max_steps = 10});
  EXPECT_GT(s.constraint("encoder").violation(solution.delta), 1e-2);
  EXPECT_GT(s.constraint("none").violation(solution.delta), 1e-2);
}

class EveryRungTest : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryRungTest, ABatchGivesWhatSinglesGive) {
  const Setting s = tiny_setting();
  const Constraint constraint = s.constraint(GetParam());
  const SolverOptions options{.max_steps = 6};
  const Solution batch = solve(s.problem, constraint, options);
  for (int64_t i = 0; i < s.problem.size(); ++i) {
    const Solution one = solve(s.problem.select(at::tensor({i}, at::kLong)), constraint, options);
    EXPECT_LT(relative_gap(one.delta[0], batch.delta[i]), 2e-4) << i;
    EXPECT_NEAR(one.score[0].item<double>(), batch.score[i].item<double>(), 1e-3) << i;
  }
}

TEST_P(EveryRungTest, TheAttackGainsOnEveryPromptAndStaysInItsRows) {
  const Setting s = tiny_setting();
  const Solution solution = run(s, GetParam(), {.max_steps = 10});
  const at::Tensor before = scores_of(s.problem, at::zeros_like(solution.delta));
  EXPECT_TRUE((solution.score > before + 0.1).all().item<bool>());
  EXPECT_LT(relative_gap(scores_of(s.problem, solution.delta), solution.score), 1e-5);
  EXPECT_EQ(norm_of(solution.delta * ~s.problem.perturbed.unsqueeze(-1)), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Ladder,
    EveryRungTest,
    ::testing::Values("none", "penalty", "encoder_published", "encoder", "encoder_decoder"));

TEST(SolverTest, UnderEachConstraintAtOnceIsUnderEachByItself) {
  const Setting s = tiny_setting();
  const std::vector<Constraint> constraints = {s.constraint("penalty"), s.constraint("encoder"),
                                               s.constraint("encoder_published")};
  // Stopping at the goal makes examples leave at different steps.
  for (const StopRule stop : {StopRule::kNever, StopRule::kAtGoal}) {
    const SolverOptions options{.max_steps = 6, .stop = stop, .keep_trace = true};
    const auto together = solve_under_each(s.problem, {&constraints[0], &constraints[1], &constraints[2]}, options);
    for (size_t c = 0; c < constraints.size(); ++c) {
      const Solution alone = solve(s.problem, constraints[c], options);
      EXPECT_LT(relative_gap(alone.delta, together[c].delta), 2e-4) << c;
      EXPECT_EQ(alone.steps, together[c].steps);
      EXPECT_EQ(alone.trace.size(), together[c].trace.size());
    }
  }
}

TEST(SolverTest, TheNumberOfThreadsChangesNothing) {
  const Setting s = tiny_setting();
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Solution one = run(s, "encoder", {.max_steps = 6});
  at::set_num_threads(2);
  const Solution two = run(s, "encoder", {.max_steps = 6});
  at::set_num_threads(before);
  EXPECT_LT(relative_gap(one.delta, two.delta), 1e-4);
}

TEST(SolverTest, TraceHasScoreAndDriftBeforeEachUpdateAndTheNormAfter) {
  const Setting s = tiny_setting(4);
  const Solution solution = run(s, "none", {.max_steps = 3, .keep_trace = true});
  ASSERT_EQ(solution.trace.size(), 12U);
  for (const TraceEntry& entry : solution.trace) {
    const Solution before = run(s, "none", {.max_steps = entry.step});
    const Solution after = run(s, "none", {.max_steps = entry.step + 1});
    const at::Tensor shift = s.problem.pre_shift(s.problem.perturbed_value(before.delta));
    EXPECT_NEAR(entry.score, before.score[entry.example].item<double>(), 1e-4);
    EXPECT_NEAR(entry.drift_pre, norm_of(shift[entry.example]), 1e-4);
    EXPECT_NEAR(entry.norm, norm_of(after.delta[entry.example]), 1e-5);
  }
}

TEST(SolverTest, DriftIsZeroUnderTheExactRungsAndFallsWithThePenalty) {
  const Setting s = tiny_setting();
  const auto drift = [&](const Rung& rung) {
    const Constraint constraint(rung, s.defence->sae(), s.defence->features());
    const Solution solution = solve(s.problem, constraint, {.max_steps = 40});
    return norm_of(s.problem.pre_shift(s.problem.perturbed_value(solution.delta)));
  };
  const double free = drift(rung_of("none"));
  const double light = drift({.name = "x", .penalty_weight = 1});
  const double heavy = drift({.name = "x", .penalty_weight = 100});
  EXPECT_GT(free, 1);
  EXPECT_LT(light, 0.9 * free);
  EXPECT_LT(heavy, 0.5 * light);
  EXPECT_LT(drift(rung_of("encoder")), 1e-4 * free);
  EXPECT_LT(drift(rung_of("encoder_decoder")), 1e-4 * free);
}

TEST(SolverTest, StoppingAtTheGoalKeepsTheFirstWinningDelta) {
  Setting s = tiny_setting();
  const at::Tensor start = scores_of(s.problem, at::zeros_like(s.problem.segment.resid()));
  s.problem.contests.goal = start + floats({-1., 1e9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3});
  const Solution solution = run(s, "none", {.max_steps = 30, .stop = StopRule::kAtGoal});
  EXPECT_EQ(solution.termination[0], Termination::kGoal);  // won from the start
  EXPECT_EQ(solution.steps[0], 0);
  EXPECT_EQ(norm_of(solution.delta[0]), 0);
  EXPECT_EQ(solution.termination[1], Termination::kMaxSteps);
  EXPECT_EQ(solution.steps[1], 30);
  EXPECT_FALSE(solution.is_won[1]);
  const at::Tensor again = scores_of(s.problem, solution.delta);
  for (size_t i = 2; i < 8; ++i) {
    const int64_t example = static_cast<int64_t>(i);
    EXPECT_EQ(solution.termination[i], Termination::kGoal) << i;
    EXPECT_TRUE(solution.is_won[i]);
    EXPECT_GT(again[example].item<double>(), s.problem.contests.goal[example].item<double>());
    ASSERT_GE(solution.steps[i], 1);
    const Solution earlier = run(s, "none", {.max_steps = solution.steps[i] - 1});
    EXPECT_FALSE(earlier.is_won[i]) << "a step less already wins";
  }
}

TEST(SolverTest, NanEndsItsOwnExampleOnly) {
  Setting s = tiny_setting();
  const Solution clean = run(s, "none", {.max_steps = 5});
  s.problem.leak_direction = at::ones({24});
  s.problem.leak_gain = at::zeros({8});
  s.problem.leak_gain[2] = std::numeric_limits<float>::quiet_NaN();
  const Solution solution = run(s, "none", {.max_steps = 5});
  EXPECT_EQ(solution.termination[2], Termination::kNan);
  EXPECT_EQ(to_string(solution.termination[2]), "nan");
  EXPECT_FALSE(solution.is_won[2]);
  EXPECT_TRUE(solution.delta.isfinite().all().item<bool>());
  for (const int64_t i : {0, 1, 3, 4, 5, 6, 7}) {
    EXPECT_EQ(solution.termination[static_cast<size_t>(i)], Termination::kMaxSteps);
    EXPECT_LT(relative_gap(solution.delta[i], clean.delta[i]), 2e-4) << i;
  }
}

TEST(SolverTest, NanInASharedProblemEndsItWithAFiniteDelta) {
  Setting s = tiny_setting();
  s.problem.leak_direction = at::ones({24});
  s.problem.leak_gain = at::zeros({8});
  s.problem.leak_gain[2] = std::numeric_limits<float>::quiet_NaN();
  const Solution solution = run(s, "none", {.max_steps = 5, .is_shared = true});
  for (const Termination end : solution.termination) EXPECT_EQ(end, Termination::kNan);
  EXPECT_TRUE(solution.delta.isfinite().all().item<bool>());
}

TEST(SolverTest, OneSharedVectorOfOnePromptIsItsPerPromptDelta) {
  const Setting s = toy_setting(ToyKind::kLeaky, 1);
  const Solution single = run(s, "encoder", {.max_steps = 10});
  const Solution shared = run(s, "encoder", {.max_steps = 10, .is_shared = true});
  EXPECT_EQ(shared.delta.sizes(), (std::vector<int64_t>{1, 1, 48}));
  EXPECT_LT(relative_gap(shared.delta, single.delta), 1e-5);
}

// On a linear problem the shared optimum is that of the summed gains, one vector for all prompts.
TEST(SolverTest, ASharedVectorMaximisesTheSumOfScores) {
  Setting s = toy_setting(ToyKind::kLeaky);
  Rng rng({4});
  const at::Tensor u = random_tensor(rng, {48});
  const at::Tensor gain = floats({5., -1., 1., 1., 1., 1., -1., 1.});
  make_linear(s, u, gain);
  const Constraint constraint = s.constraint("encoder");
  const Solution solution = solve(s.problem, constraint, {.max_steps = 100, .is_shared = true});
  const double best = linear_best_gain(u, constraint.basis(), s.problem.budget[0].item<double>());
  EXPECT_NEAR(solution.score.sum().item<double>(), 8 * best, 0.08 * best);
  EXPECT_LT(relative_gap(solution.score, gain * solution.score[2]), 1e-5);
  EXPECT_LT(solution.score[1].item<double>(), 0);
}

TEST(SolverTest, ASharedVectorIsAddedAtEveryPerturbedRow) {
  const Setting s = tiny_setting();
  const Solution solution = run(s, "none", {.max_steps = 4, .is_shared = true});
  const at::Tensor spread = solution.delta * s.problem.perturbed.unsqueeze(-1);
  EXPECT_LT(relative_gap(scores_of(s.problem, spread), solution.score), 1e-5);
  EXPECT_LE(norm_of(solution.delta), 2 * (1 + 1e-6));
}

TEST(SolverTest, NoStepsLeaveTheDefendedScore) {
  const Setting s = tiny_setting();
  const Solution solution = run(s, "none", {.max_steps = 0});
  EXPECT_EQ(norm_of(solution.delta), 0);
  EXPECT_LT(relative_gap(solution.score, scores_of(s.problem, solution.delta)), 1e-6);
}

TEST(SolverTest, ImpossibleOptionsAreRefused) {
  EXPECT_THROW(SolverOptions{.max_steps = -1}.validate(), ConfigError);
  EXPECT_THROW(SolverOptions{.lr = 0}.validate(), ConfigError);
}

TEST(CappedTest, ScalesDownToTheBudgetAndNeverUp) {
  const at::Tensor delta = floats({3., 4., 0.3, 0.4}).view({2, 1, 2});
  const at::Tensor out = capped(delta, floats({1., 1.}));
  EXPECT_LT(relative_gap(out.view({4}), floats({0.6, 0.8, 0.3, 0.4})), 1e-6);
}

}  // namespace
}  // namespace rebound
