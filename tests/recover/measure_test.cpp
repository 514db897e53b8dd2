#include "rebound/recover/measure.h"

#include <gtest/gtest.h>

#include <cmath>

#include "recover/recover_fixture.h"

namespace rebound {
namespace {

// Two tokens, width 4, idle blocks. The last token is h = (3, -1, 2, 0); features 0, 1, 2 read
// axes 0, 1, 2 and write e0, 2 e1, e2. Features 0 and 1 are defended: active ones are set to 1, so
//   h_def = (1, -1, 2, 0),  p(h_def) = (1, -1),  f(h_def) = (1, 0).
Setting hand_setting(SaeKind kind = SaeKind::kStandard) {
  ModelConfig config;
  config.vocab_size = 3;
  config.hidden_size = 4;
  config.intermediate_size = 2;
  config.num_hidden_layers = 1;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.head_dim = 4;
  ModelWeights weights;
  weights.embed = floats({1., 1., 1., 1., 3., -1., 2., 0., 1., 1., 1., 1.}).view({3, 4});
  weights.layers.push_back({at::ones({4}),
                            at::ones({12, 4}),
                            at::zeros({4, 4}),
                            at::ones({4}),
                            at::ones({4, 4}),
                            at::zeros({4, 2})});
  weights.final_norm = at::ones({4});
  weights.head = at::eye(4).narrow(0, 0, 3).contiguous();
  SaeConfig sae{.kind = kind, .d_in = 4, .d_sae = 3};
  if (kind == SaeKind::kAbsTopK) sae.k = 1;
  sae.hook_name = "blocks.0.hook_resid_pre";
  Setting s;
  s.model = std::make_unique<Transformer>(config, weights);
  s.defence = std::make_unique<Defence>(
      std::make_shared<const Sae>(
          sae,
          SaeWeights{at::eye(4).narrow(1, 0, 3).contiguous(),
                     at::zeros({3}),
                     at::diag(floats({1., 2., 1.})).matmul(at::eye(4).narrow(0, 0, 3)),
                     at::zeros({4}),
                     {}}),
      std::vector<FeatureEdit>{{.features = {0, 1}, .value = 1}},
      1e9);
  s.tokens = TokenBatch::from({{0, 1}});
  s.first_position = {1};
  fill_problem(s, {{0}, {1}}, 100);
  return s;
}

MeasureContext context_of(const Setting& s) {
  return {s.h_base, orthonormal_basis(s.defence->sae().encoder_columns(s.defence->features()))};
}

TEST(MeasureTest, HandComputedFigures) {
  const Setting s = hand_setting();
  // x = (-2, 3, 2, 12): p = (-2, 3), f = (0, 3).
  const at::Tensor delta = floats({-3., 4., 0., 12.}).view({1, 1, 4});
  const Measurement m = measure(s.problem, delta, context_of(s)).at(0);
  const double rms = std::sqrt((4. + 9 + 4 + 144) / 4 + 1e-5);
  EXPECT_NEAR(m.score, -5 / rms, 1e-6);
  EXPECT_NEAR(m.norm, 13, 1e-5);
  EXPECT_NEAR(m.norm_rel, 13 / std::sqrt(6.), 1e-5);
  EXPECT_NEAR(m.drift_pre_l2, 5, 1e-5);  // shift (-3, 4)
  EXPECT_NEAR(m.drift_pre_rel, 5 / std::sqrt(2.), 1e-5);
  EXPECT_NEAR(m.drift_pre_rmse, 5 / std::sqrt(2.), 1e-5);
  EXPECT_NEAR(m.drift_pre_linf, 4, 1e-5);
  EXPECT_NEAR(m.drift_post_l2, std::sqrt(10.), 1e-5);  // shift (-1, 3)
  EXPECT_NEAR(m.drift_post_rel, std::sqrt(10.), 1e-5);
  EXPECT_NEAR(m.decode_drift, std::sqrt(37.), 1e-5);    // (-1, 6)
  EXPECT_EQ(m.reactivated_fraction, 1);                 // feature 1 was off
  EXPECT_NEAR(m.floor_violation, 1, 1e-6);              // feature 0 fell from 1 to 0
  EXPECT_NEAR(m.cosine_to_undo, -6. / (13 * 2), 1e-6);  // undo = (2, 0, 0, 0)
  EXPECT_NEAR(m.share_in_encoder_span, 25. / 169, 1e-6);
}

// The defence sets feature 0 to 1, and feature 2 becomes the one that is on.
TEST(MeasureTest, AFeatureThatComesBackAtANegativeCodeIsReactivated) {
  const Setting s = hand_setting(SaeKind::kAbsTopK);
  const at::Tensor delta = floats({0., -4., 0., 0.}).view({1, 1, 4});  // f = (0, -5)
  const Measurement m = measure(s.problem, delta, context_of(s)).at(0);
  EXPECT_NEAR(m.drift_post_l2, 5, 1e-5);
  EXPECT_EQ(m.reactivated_fraction, 0.5);
}

TEST(MeasureTest, HandComputedDistributionFigures) {
  const Setting s = hand_setting();
  const Measurement m =
      measure(s.problem, floats({-3., 4., 0., 12.}).view({1, 1, 4}), context_of(s)).at(0);
  // Logits are the first three entries over the rms of the token.
  const auto log_probs = [](std::array<double, 3> x, double square) {
    const double rms = std::sqrt(square / 4 + 1e-5);
    double sum = 0;
    for (double& value : x) sum += std::exp(value /= rms);
    for (double& value : x) value -= std::log(sum);
    return x;
  };
  const auto base = log_probs({3, -1, 2}, 14), now = log_probs({-2, 3, 2}, 161);
  double kl = 0;
  for (size_t i = 0; i < 3; ++i) kl += std::exp(base[i]) * (base[i] - now[i]);
  EXPECT_NEAR(m.kl_to_base, kl, 1e-5);
  EXPECT_NEAR(m.answer_nll, -now[0], 1e-5);
}

TEST(MeasureTest, WithoutAPerturbationNothingDrifts) {
  const Setting s = hand_setting();
  const Measurement m = measure(s.problem, at::zeros({1, 1, 4}), context_of(s)).at(0);
  for (const double value : {m.norm,
                             m.norm_rel,
                             m.drift_pre_l2,
                             m.drift_pre_rel,
                             m.drift_post_l2,
                             m.drift_post_rel,
                             m.decode_drift,
                             m.reactivated_fraction,
                             m.floor_violation}) {
    EXPECT_EQ(value, 0);
  }
  EXPECT_TRUE(std::isnan(m.cosine_to_undo));
  EXPECT_TRUE(std::isnan(m.share_in_encoder_span));
}

TEST(MeasureTest, RelativeFiguresAreUndefinedWhereTheDefendedCodeIsZero) {
  Setting s = hand_setting();
  s.defence = std::make_unique<Defence>(
      s.defence->shared_sae(), std::vector<FeatureEdit>{{.features = {0, 1}, .value = -2}}, 1e9);
  fill_problem(s, {{0}, {1}}, 100);
  s.problem.base_log_probs = at::Tensor();
  const Measurement m =
      measure(s.problem, floats({3., 0., 0., 0.}).view({1, 1, 4}), context_of(s)).at(0);
  EXPECT_TRUE(std::isnan(m.drift_post_rel));
  EXPECT_TRUE(std::isnan(m.floor_violation));
  EXPECT_TRUE(std::isnan(m.kl_to_base));
  EXPECT_NEAR(m.drift_post_l2, 1, 1e-6);           // x0 = -2 + 3
  EXPECT_NEAR(m.reactivated_fraction, 0.5, 1e-6);  // one of two
  EXPECT_NEAR(m.cosine_to_undo, 1, 1e-6);          // undo = (5, 0, 0, 0)
}

TEST(MeasureTest, ABatchIsMeasuredAsItsSingles) {
  const Setting s = tiny_setting();
  const at::Tensor delta = random_delta(s.problem, 0.5);
  const std::vector<Measurement> all = measure(s.problem, delta, context_of(s));
  for (int64_t i = 0; i < 8; ++i) {
    const at::Tensor index = at::tensor({i}, at::kLong);
    const MeasureContext context{s.h_base.index_select(0, index), context_of(s).encoder_basis};
    const Measurement one =
        measure(s.problem.select(index), delta.index_select(0, index), context).at(0);
    const Measurement& m = all[static_cast<size_t>(i)];
    EXPECT_NEAR(m.score, one.score, 1e-3);
    EXPECT_NEAR(m.norm_rel, one.norm_rel, 1e-5);
    EXPECT_NEAR(m.drift_pre_rmse, one.drift_pre_rmse, 1e-5);
    EXPECT_NEAR(m.drift_pre_rel, one.drift_pre_rel, 1e-5);
    EXPECT_NEAR(m.drift_post_l2, one.drift_post_l2, 1e-5);
    EXPECT_NEAR(m.decode_drift, one.decode_drift, 1e-5);
    EXPECT_NEAR(m.reactivated_fraction, one.reactivated_fraction, 1e-6);
    EXPECT_NEAR(m.cosine_to_undo, one.cosine_to_undo, 1e-5);
    EXPECT_NEAR(m.kl_to_base, one.kl_to_base, 1e-4);
  }
}

TEST(BindingFeaturesTest, AreThoseThatMoveByATenthOfTheirSpread) {
  const Setting s = hand_setting();
  const at::Tensor delta = floats({-3., 4., 9., 9.}).view({1, 1, 4});
  const at::Tensor bound = binding_features(s.problem, delta, floats({29., 41., 1.}));
  EXPECT_TRUE(bound.equal(at::tensor({1, 0}, at::kLong).view({1, 2}).to(at::kBool))) << bound;
}

class RecheckTest : public ::testing::TestWithParam<ThreatModel> {};

// The second road: no cache, no segment, the whole model.
TEST_P(RecheckTest, EqualsTheScoreOfTheProblem) {
  Setting s = tiny_setting();
  s.problem.threat = GetParam();
  for (const double scale : {0.0, 0.5}) {
    const at::Tensor delta = random_delta(s.problem, scale);
    const at::Tensor again =
        recheck_scores(s.problem, delta, {s.model.get(), s.tokens, s.first_position});
    EXPECT_LT((again - scores_of(s.problem, delta)).abs().max().item<double>(), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Threats,
                         RecheckTest,
                         ::testing::Values(ThreatModel::kAfterClamp, ThreatModel::kBeforeClamp));

TEST(RecheckScoresTest, ASharedVectorIsCheckedAtEveryPerturbedRow) {
  const Setting s = tiny_setting();
  Rng rng({3});
  const at::Tensor delta = random_tensor(rng, {1, 1, 24}, 0.3);
  const at::Tensor again =
      recheck_scores(s.problem, delta, {s.model.get(), s.tokens, s.first_position});
  EXPECT_LT((again - scores_of(s.problem, delta)).abs().max().item<double>(), 1e-4);
}

}  // namespace
}  // namespace rebound
