// Searches on another device against the same searches on the CPU: few steps, so that rounding
// has no time to grow.
#include <cmath>

#include "device/device_fixture.h"
#include "rebound/recover/cross_generate.h"
#include "rebound/recover/cross_minimal.h"
#include "rebound/recover/cross_path.h"
#include "rebound/recover/minimal_budget.h"
#include "rebound/recover/path_attribution.h"
#include "recover/input_attack_fixture.h"
#include "recover/recover_fixture.h"

namespace rebound {
namespace {

// Of scores and norms after a search, absolute on numbers of order one.
constexpr double kSearchGap = 2e-3;
// jacobian_sampled amplifies rounding from its first step on: scores part by 6e-4 with one set of BLAS
// kernels and by 0.044 with another (0.005 without its corrections, the same at a third of the step
// size), where every other rung differs by 1e-5. Norms agree to 1e-7. Why is not known.
constexpr double kSampledGap = 0.1;

std::vector<int64_t> longs_of(const at::Tensor& tensor) {
  const at::Tensor values = tensor.cpu().contiguous();
  return {values.data_ptr<int64_t>(), values.data_ptr<int64_t>() + values.numel()};
}

// The same problem on `device`.
Setting moved(const Setting& s, at::Device device) {
  Setting far;
  far.model = std::make_unique<Transformer>(s.model->to(device));
  far.defence = std::make_unique<Defence>(
      std::make_shared<const Sae>(s.defence->sae().to(device)), s.defence->edits(), 1e9);
  far.tokens = s.tokens;
  far.first_position = s.first_position;
  const Contests& contests = s.problem.contests;
  fill_problem(far,
               {longs_of(contests.target), longs_of(contests.rival)},
               s.problem.budget[0].item<double>());
  for (at::Tensor* tensor : {&far.problem.contests.target,
                             &far.problem.contests.rival,
                             &far.problem.contests.goal,
                             &far.problem.budget}) {
    *tensor = tensor->to(device);
  }
  return far;
}

// One clamp on an SAE's features between two on directions.
void place(CrossSetting& s, at::Device device) {
  Rng rng({11});
  const auto direction = [&](int64_t layer, DirectionEdit edit) {
    return std::make_shared<const DirectionClamp>(
        Site{layer, SiteKind::kResidPre},
        random_tensor(rng, {24}).to(device),
        DirectionClamp::Options{.edit = edit, .strength = 0.5, .positions = {}, .sink_norm = 1e9});
  };
  const FeatureEdit edit{.features = {3, 8, 21}, .kind = EditKind::kScale, .value = 3};
  std::vector<std::shared_ptr<const Clamp>> clamps = {
      direction(3, DirectionEdit::kAblate),
      std::make_shared<const Defence>(std::make_shared<const Sae>(cross_sae()->to(device)),
                                      std::vector<FeatureEdit>{edit},
                                      1e9),
      direction(1, DirectionEdit::kAdd)};
  s.plan = std::make_shared<const ClampPlan>(std::move(clamps), s.model.config());
  s.model = s.model.to(device);
}

struct CrossPair {
  CrossSetting near, far;

  explicit CrossPair(at::Device device) {
    place(near, at::kCPU);
    place(far, device);
  }
};

class RecoverDeviceTest : public DeviceTest {};

void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::isfinite(expected[i])) {
      EXPECT_NEAR(found[i], expected[i], kSearchGap) << i;
    } else {
      EXPECT_FALSE(std::isfinite(found[i])) << i;
    }
  }
}

TEST_P(RecoverDeviceTest, EveryRungSearchesAsOnTheCpu) {
  const Setting near = toy_setting(ToyKind::kLeaky, 6), far = moved(near, device());
  for (const Rung& rung : ladder()) {
    SCOPED_TRACE(rung.name);
    const SolverOptions options{.max_steps = 8, .stop = StopRule::kAtGoal, .keep_trace = true};
    const Solution expected = solve(near.problem, near.constraint(rung.name), options);
    const Solution found = solve(far.problem, far.constraint(rung.name), options);
    EXPECT_EQ(found.delta.device(), device());
    EXPECT_LT(relative_gap(found.score.cpu(), expected.score), kSearchGap);
    EXPECT_LT(relative_gap(found.delta.cpu(), expected.delta), kSearchGap);
    EXPECT_EQ(found.is_won, expected.is_won);
    EXPECT_EQ(found.trace.size(), expected.trace.size());
  }
}

TEST_P(RecoverDeviceTest, RowsBeforeTheClampOfUnequalLengthSearchAsOnTheCpu) {
  Setting near = tiny_setting(6), far = moved(near, device());
  near.problem.threat = far.problem.threat = ThreatModel::kBeforeClamp;
  near.problem.objective = far.problem.objective = Objective::kMatchBase;
  const auto shared = [](const Setting& s) {
    return solve(s.problem, s.constraint("encoder"), {.max_steps = 4, .is_shared = true})
        .delta.cpu();
  };
  EXPECT_LT(relative_gap(shared(far), shared(near)), kSearchGap);
}

TEST_P(RecoverDeviceTest, MeasurementsAndTheSecondRoadAreTheCpus) {
  const Setting near = tiny_setting(5), far = moved(near, device());
  const at::Tensor delta = random_delta(near.problem, 0.3), far_delta = delta.to(device());
  const auto basis = [](const Setting& s) {
    return orthonormal_basis(s.defence->sae().encoder_columns(s.defence->features()));
  };
  const auto expected = measure(near.problem, delta, {near.h_base, basis(near)});
  const auto found = measure(far.problem, far_delta, {far.h_base, basis(far)});
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i].score, expected[i].score, kSearchGap);
    EXPECT_NEAR(found[i].drift_pre_rel, expected[i].drift_pre_rel, kSearchGap);
    EXPECT_NEAR(found[i].kl_to_base, expected[i].kl_to_base, kSearchGap);
    EXPECT_NEAR(found[i].share_in_encoder_span, expected[i].share_in_encoder_span, kSearchGap);
  }
  const auto recheck = [](const Setting& s, const at::Tensor& x) {
    return recheck_scores(s.problem, x, {s.model.get(), s.tokens, s.first_position}).cpu();
  };
  EXPECT_LT(relative_gap(recheck(far, far_delta), recheck(near, delta)), kDeviceGap);
  const at::Tensor spread = at::ones({40});
  EXPECT_TRUE(at::equal(binding_features(far.problem, far_delta, spread.to(device())).cpu(),
                        binding_features(near.problem, delta, spread)));
}

TEST_P(RecoverDeviceTest, MinimalBudgetsAreTheCpus) {
  const Setting near = toy_setting(ToyKind::kFeatureRouted, 4), far = moved(near, device());
  const MinimalBudgetOptions options{.cap = 8, .linear_steps = 4, .rounds = 1, .max_steps = 6};
  expect_near(minimal_budgets(far.problem, far.constraint("encoder"), options).norm,
              minimal_budgets(near.problem, near.constraint("encoder"), options).norm);
}

TEST_P(RecoverDeviceTest, PathsAreAttributedAsOnTheCpu) {
  const Setting near = toy_setting(ToyKind::kFeatureRouted, 4), far = moved(near, device());
  const at::Tensor delta = random_delta(near.problem, 0.4);
  const PathAttribution expected = attribute_path(near.problem, delta, {.top_k = 3});
  const PathAttribution found = attribute_path(far.problem, delta.to(device()), {.top_k = 3});
  EXPECT_EQ(found.top_features, expected.top_features);
  expect_near(found.full, expected.full);
  expect_near(found.random, expected.random);
  for (size_t i = 0; i < kParts.size(); ++i) {
    expect_near(found.parts[i].shapley, expected.parts[i].shapley);
  }
}

TEST_P(RecoverDeviceTest, EveryRungOfTheCrossLadderSearchesAsOnTheCpu) {
  const CrossPair pair(device());
  const CrossProblem near = pair.near.problem(), far = pair.far.problem();
  for (const CrossRung& rung : cross_ladder()) {
    SCOPED_TRACE(rung.name);
    CrossSolverOptions options;
    options.budget = 6;
    options.max_steps = 3;
    options.lsmr_iterations = 6;
    options.newton_steps = 1;
    options.examples_at_once = 2;
    options.objective.refusals = {{5, 6}, {7}};
    options.objective.anti_refusal = 0.3;
    const CrossSolution expected = solve_cross(near, rung, options);
    const CrossSolution found = solve_cross(far, rung, options);
    EXPECT_EQ(found.delta.device(), device());
    EXPECT_LT(relative_gap(found.score.cpu(), expected.score),
              rung.name == "jacobian_sampled" ? kSampledGap : kSearchGap);
    EXPECT_LT(relative_gap(found.norm.cpu(), expected.norm), kSearchGap);
    EXPECT_EQ(found.is_won, expected.is_won);
  }
}

TEST_P(RecoverDeviceTest, AnswersUnderAttackAreTheCpus) {
  const CrossPair pair(device());
  const CrossProblem near = pair.near.problem();
  std::vector<std::vector<int64_t>> prompts;
  for (const TargetAnswer& answer : pair.near.answers) prompts.push_back(answer.prompt);
  const at::Tensor delta = random_delta(near);
  const auto answer = [&](const CrossSetting& s, const at::Tensor& x) {
    return generate_attacked(s.model, *s.plan, prompts, x, Span::kEncoder, {.max_new_tokens = 8});
  };
  const AttackedAnswers expected = answer(pair.near, delta);
  const AttackedAnswers found = answer(pair.far, delta.to(device()));
  EXPECT_EQ(found.tokens, expected.tokens);
  expect_near(found.drift_rel, expected.drift_rel);
  expect_near(found.norm, expected.norm);
}

TEST_P(RecoverDeviceTest, BudgetsGapsAndPathsOfAnswersAreTheCpus) {
  const CrossPair pair(device());
  const CrossProblem near = pair.near.problem(), far = pair.far.problem();
  expect_near(answer_gaps(far), answer_gaps(near));
  const CrossRung& rung = cross_rung_of("forward_projection");
  const CrossMinimalOptions options{.cap = 12, .rounds = 1, .max_steps = 3};
  expect_near(minimal_answer_budgets(far, rung, options).norm,
              minimal_answer_budgets(near, rung, options).norm);
  const at::Tensor delta = random_delta(near);
  const auto figures = [](const CrossSetting& s, const CrossProblem& problem, const at::Tensor& x) {
    const CrossSplit split =
        split_cross(problem, x, Span::kEncoder, site_dictionaries(*s.plan, {}), {.top_k = 4});
    return path_figures(split.split, replay_scores(problem, path_variants(split.split)));
  };
  const PathFigures expected = figures(pair.near, near, delta);
  const PathFigures found = figures(pair.far, far, delta.to(device()));
  expect_near(found.full, expected.full);
  expect_near(found.random, expected.random);
  expect_near(found.parts[1].shapley, expected.parts[1].shapley);
}

TEST_P(RecoverDeviceTest, AttacksAtTheInputAreTheCpus) {
  SuffixSetting near, far;
  place(near.cross, at::kCPU);
  place(far.cross, device());
  const SuffixProblem problem = near.problem(), far_problem = far.problem();
  const SoftSuffixOptions soft{.steps = 3};
  const SuffixAttack expected = soft_suffix(problem, soft), found = soft_suffix(far_problem, soft);
  EXPECT_EQ(found.suffix.device(), device());
  EXPECT_NEAR(found.score, expected.score, kSearchGap);
  EXPECT_NEAR(found.drift_rel, expected.drift_rel, kSearchGap);
  GcgOptions hard{.max_steps = 2, .search_width = 6, .top_k = 4, .candidates_at_once = 4};
  hard.is_allowed = at::arange(61) > 4;
  EXPECT_EQ(gcg(far_problem, hard).tokens, gcg(problem, hard).tokens);
}

INSTANTIATE_TEST_SUITE_P(Devices,
                         RecoverDeviceTest,
                         ::testing::Values(kStrictDevice, kGpu),
                         name_of_device);

}  // namespace
}  // namespace rebound
