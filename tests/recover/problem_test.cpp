#include "rebound/recover/problem.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "recover/recover_fixture.h"

namespace rebound {
namespace {

// The site's value at real rows; what stands in padding is nobody's business.
at::Tensor real_value(const Problem& problem, const at::Tensor& delta) {
  return problem.perturbed_value(delta) * problem.segment.rows().is_real.unsqueeze(-1);
}

TEST(ProblemTest, NamesRoundTripAndWrongOnesAreRefused) {
  for (const auto threat : {ThreatModel::kAfterClamp, ThreatModel::kBeforeClamp}) {
    EXPECT_EQ(parse_threat_model(to_string(threat)), threat);
  }
  for (const auto objective : {Objective::kLogitDiff, Objective::kMatchBase}) {
    EXPECT_EQ(parse_objective(to_string(objective)), objective);
  }
  EXPECT_THROW(parse_threat_model("input"), ConfigError);
  EXPECT_THROW(parse_objective("margin"), ConfigError);
}

// With idle blocks logit[target] - logit[rival] = w . x / rms(x).
TEST(ProblemTest, ScoreIsTheReadOutOfThePerturbedValue) {
  const Setting s = toy_setting(ToyKind::kLeaky);
  const at::Tensor delta = random_delta(s.problem, 0.3);
  const at::Tensor scores = scores_of(s.problem, delta);
  for (int64_t i = 0; i < s.problem.size(); ++i) {
    const at::Tensor x = (s.problem.segment.resid() + delta)[i][0].to(at::kDouble);
    const at::Tensor rms = (x.square().mean() + s.model->config().rms_norm_eps).sqrt();
    EXPECT_NEAR(scores[i].item<double>(),
                (s.read_out(i).to(at::kDouble).dot(x) / rms).item<double>(),
                1e-5);
  }
}

TEST(ProblemTest, DeltaOutsideThePerturbedRowsDoesNotCount) {
  const Setting s = tiny_setting();
  const at::Tensor delta = random_delta(s.problem, 0.3);
  const at::Tensor loud = delta + 100 * ~s.problem.perturbed.unsqueeze(-1);
  EXPECT_TRUE(s.problem.perturbed_value(loud).equal(s.problem.perturbed_value(delta)));
}

// The law of method.md section 2: a pointwise SAE whose defended pre-activations do not move edits
// h + delta exactly as it edited h.
TEST(ProblemTest, BeforeClampEqualsAfterClampOffTheEncoderColumns) {
  Setting s = tiny_setting();
  const at::Tensor free = random_delta(s.problem, 0.5);
  const at::Tensor projected = s.constraint("encoder").project(free);
  const at::Tensor after = real_value(s.problem, projected);
  const at::Tensor after_free = real_value(s.problem, free);
  s.problem.threat = ThreatModel::kBeforeClamp;
  EXPECT_LT(relative_gap(real_value(s.problem, projected), after), 1e-6);
  EXPECT_GT(relative_gap(real_value(s.problem, free), after_free), 1e-2);
}

TEST(ProblemTest, BeforeClampWithoutDeltaIsTheDefendedRun) {
  Setting s = tiny_setting();
  s.problem.threat = ThreatModel::kBeforeClamp;
  const at::Tensor zero = at::zeros_like(s.problem.segment.resid());
  const at::Tensor before = real_value(s.problem, zero);
  s.problem.threat = ThreatModel::kAfterClamp;
  EXPECT_LT(relative_gap(before, real_value(s.problem, zero)), 1e-6);
}

TEST(ProblemTest, PreShiftIsTheEncoderImageOfDelta) {
  const Setting s = tiny_setting();
  const at::Tensor delta = random_delta(s.problem, 0.5);
  const at::Tensor columns = s.defence->sae().encoder_columns(s.defence->features());
  const at::Tensor shift = s.problem.pre_shift(s.problem.perturbed_value(delta));
  EXPECT_LT(relative_gap(shift, at::matmul(delta, columns)), 1e-5);
}

// Blocks of a toy write nothing, so undoing the clamp at the answer restores the base run: the
// objective is at its minimum, zero.
TEST(ProblemTest, MatchBaseIsZeroWithoutSlopeAtTheBaseRun) {
  Setting s = toy_setting(ToyKind::kLeaky);
  s.problem.objective = Objective::kMatchBase;
  const at::Tensor undo = (s.h_base - s.problem.segment.resid()).detach().requires_grad_(true);
  const at::Tensor loss = s.problem.evaluate(s.problem.perturbed_value(undo), undo).loss;
  EXPECT_LT(loss.abs().max().item<double>(), 1e-5);
  const at::Tensor slope = torch::autograd::grad({loss.sum()}, {undo})[0];
  EXPECT_LT(slope.abs().max().item<double>(), 1e-4);
  const at::Tensor zero = at::zeros_like(undo);
  EXPECT_GT(s.problem.evaluate(s.problem.perturbed_value(zero), zero).loss.min().item<double>(),
            0.01);
}

TEST(ProblemTest, MatchBaseIsTheDivergenceFromTheBaseRun) {
  Setting s = tiny_setting();
  s.problem.objective = Objective::kMatchBase;
  const at::Tensor delta = random_delta(s.problem, 0.3);
  const at::NoGradGuard no_grad;
  const Problem::Evaluation now = s.problem.evaluate(s.problem.perturbed_value(delta), delta);
  const at::Tensor p = s.problem.base_log_probs.to(at::kDouble).exp();
  const at::Tensor q = at::softmax(s.model->logits(now.final_resid).to(at::kDouble), -1);
  EXPECT_LT(relative_gap(now.loss, (p * (p.log() - q.log())).sum(-1)), 1e-5);
}

TEST(ProblemTest, TheLeakAddsItsShareOfDelta) {
  Setting s = tiny_setting();
  const at::Tensor delta = random_delta(s.problem, 0.3);
  const at::Tensor before = scores_of(s.problem, delta);
  Rng rng({3});
  s.problem.leak_direction = random_tensor(rng, {24});
  s.problem.leak_gain = at::arange(8).to(at::kFloat);
  const at::Tensor expected =
      before + s.problem.leak_gain * (delta * s.problem.leak_direction).sum({1, 2});
  EXPECT_LT(relative_gap(scores_of(s.problem, delta), expected), 1e-5);
}

TEST(ProblemTest, ASelectionIsTheRowsOfTheWhole) {
  Setting s = tiny_setting();
  s.problem.leak_direction = at::ones({24});
  s.problem.leak_gain = at::arange(8).to(at::kFloat);
  const at::Tensor delta = random_delta(s.problem, 0.3);
  const at::Tensor index = at::tensor({6, 1, 1}, at::kLong);
  const Problem part = s.problem.select(index);
  EXPECT_EQ(part.size(), 3);
  const at::Tensor expected = scores_of(s.problem, delta).index_select(0, index);
  EXPECT_LT(relative_gap(scores_of(part, delta.index_select(0, index)), expected), 1e-5);
}

}  // namespace
}  // namespace rebound
