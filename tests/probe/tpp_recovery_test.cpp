// The optimiser against the closed form of a linear read-out, and what recovery figures count.
#include "rebound/probe/tpp_recovery.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "rebound/base/error.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

constexpr int64_t kD = 24;

std::vector<at::Tensor> random_texts_of_lengths(const std::vector<int64_t>& lengths) {
  Rng rng({61});
  std::vector<at::Tensor> texts;
  for (const int64_t length : lengths) texts.push_back(random_tensor(rng, {length, kD}));
  return texts;
}

PooledReadout random_readout(uint64_t seed) {
  Rng rng({seed, 9});
  return {random_tensor(rng, {kD}, 0.2), -0.3};
}

Sae::Features first_features(int64_t count) {
  Sae::Features features;
  for (int64_t j = 0; j < count; ++j) features.push_back(j);
  return features;
}

TEST(PooledRecoveryTest, TheOptimiserReachesTheClosedFormAndNeverPassesIt) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  for (const std::string rung : {"none", "encoder"}) {
    for (const int64_t perturbed : {0, 1, 3}) {
      for (const double budget : {0.05, 20.0, 3000.0}) {
        const PooledRecoveryOptions options = {.budget = budget, .perturbed = perturbed};
        const PooledBatch batch =
            PooledBatch::from(random_texts_of_lengths({2, 17, 1, 5}), perturbed);
        const PooledReadout readout = random_readout(static_cast<uint64_t>(perturbed));
        const at::Tensor basis = pooled_rung_basis(rung, sae, {3, 8, 20, 31});
        const at::Tensor delta = maximise_pooled(readout, batch, basis, options);
        const at::Tensor ratio =
            pooled_gain(readout, batch, delta) / best_pooled_gain(readout, batch, basis, budget);
        EXPECT_GE(ratio.min().item<double>(), 0.99) << rung << perturbed << " " << budget;
        EXPECT_LE(ratio.max().item<double>(), 1 + 1e-5) << rung << perturbed << " " << budget;
      }
    }
  }
}

TEST(PooledRecoveryTest, ThePerturbationIsFeasible) {
  const Sae sae = tiny_sae(SaeKind::kStandard);
  const Sae::Features features = {0, 4, 11};
  const PooledBatch batch = PooledBatch::from(random_texts_of_lengths({3, 8}), 2);
  const at::Tensor basis = pooled_rung_basis("encoder", sae, features);
  const at::Tensor delta = maximise_pooled(random_readout(4), batch, basis, {.budget = 5});
  EXPECT_EQ(basis.size(1), 3);
  EXPECT_LE(delta.flatten(1).norm(2, -1).max().item<double>(), 5 * (1 + 1e-6));
  EXPECT_LT(at::matmul(delta, sae.encoder_columns(features)).abs().max().item<double>(), 1e-5);
  const at::Tensor moved = delta.norm(2, -1) > 0;
  EXPECT_TRUE(at::equal(moved, batch.perturbed));
  EXPECT_EQ(batch.perturbed.sum().item<int64_t>(), 4);
  EXPECT_TRUE(batch.perturbed[0][2].item<bool>());  // the last of three tokens
  EXPECT_FALSE(batch.perturbed[0][0].item<bool>());
}

TEST(PooledRecoveryTest, ClosedFormByHand) {
  // w = (3, 4), P removes the first axis, T = 4, m = 1: 10 * 4 * 1 / 4.
  PooledReadout readout = {at::tensor({3.F, 4.F}), 0};
  PooledBatch batch = PooledBatch::from({at::zeros({4, 2})}, 1);
  const at::Tensor axis = at::tensor({1.F, 0.F}).view({2, 1});
  EXPECT_NEAR(best_pooled_gain(readout, batch, axis, 10)[0].item<double>(), 10, 1e-9);
  EXPECT_NEAR(best_pooled_gain(readout, batch, {}, 10)[0].item<double>(), 12.5, 1e-9);
  batch = PooledBatch::from({at::zeros({4, 2})}, 0);  // m = 4: twice as much
  EXPECT_NEAR(best_pooled_gain(readout, batch, {}, 10)[0].item<double>(), 25, 1e-9);
  // One unit on one of four tokens.
  const at::Tensor delta = at::zeros({1, 4, 2});
  delta[0][3][1] = 1;
  EXPECT_NEAR(pooled_gain(readout, batch, delta)[0].item<double>(), 1, 1e-12);
}

TEST(PooledRecoveryTest, NoRandomFeasibleDeltaPassesTheClosedForm) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const PooledReadout readout = random_readout(2);
  const PooledBatch batch = PooledBatch::from(random_texts_of_lengths({4}), 0);
  const at::Tensor basis = pooled_rung_basis("encoder", sae, first_features(20));
  const double best = best_pooled_gain(readout, batch, basis, 2)[0].item<double>();
  Rng rng({71});
  double largest = 0;
  for (int draw = 0; draw < 300; ++draw) {
    at::Tensor delta = project_off(random_tensor(rng, {1, 4, kD}), basis);
    delta = 2 * delta / delta.norm();
    largest = std::max(largest, pooled_gain(readout, batch, delta)[0].item<double>());
  }
  EXPECT_GT(largest, 0);
  EXPECT_LE(largest, best * (1 + 1e-6));
  const at::Tensor optimum = project_off(readout.weight, basis).expand({1, 4, kD});
  EXPECT_NEAR(
      pooled_gain(readout, batch, 2 * optimum / optimum.norm())[0].item<double>(), best, 1e-5);
}

TEST(PooledRecoveryTest, AReadoutInsideTheSpanCannotBeRecovered) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const auto texts = random_texts_of_lengths({5, 3});
  PooledReadout readout = random_readout(3);
  // 40 random columns span all 24 dimensions; a read-out along one column is inside its span.
  const Sae::Features all = first_features(sae.d_sae());
  EXPECT_EQ(pooled_rung_basis("encoder", sae, all).size(1), kD);
  const PooledRecovery everything = recover_pooled("encoder", texts, readout, sae, all, {});
  EXPECT_EQ(everything.free_dimension, 0);
  EXPECT_EQ(everything.gain, 0);
  EXPECT_EQ(everything.drift_pre, 0);
  EXPECT_TRUE(std::isnan(everything.certificate_ratio));
  EXPECT_TRUE(std::isinf(everything.minimal_budget));
  EXPECT_GT(recover_pooled("none", texts, readout, sae, all, {}).gain, 1);

  readout.weight = sae.encoder_columns({7}).squeeze(1).clone();
  const PooledRecovery sealed = recover_pooled("encoder", texts, readout, sae, {7, 9}, {});
  EXPECT_NEAR(sealed.gain, 0, 1e-4);
  EXPECT_TRUE(std::isnan(sealed.certificate_ratio));
}

TEST(PooledRecoveryTest, TheMinimalBudgetDividesRecoveredFromNot) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const auto texts = random_texts_of_lengths({7});
  PooledReadout readout = random_readout(6);
  readout.intercept = -9;
  for (const std::string rung : {"none", "encoder"}) {
    const double least = recover_pooled(rung, texts, readout, sae, {1, 2, 5}, {}).minimal_budget;
    EXPECT_GT(least, 1);
    EXPECT_EQ(
        recover_pooled(rung, texts, readout, sae, {1, 2, 5}, {.budget = 1.001 * least}).recovered,
        1);
    EXPECT_EQ(
        recover_pooled(rung, texts, readout, sae, {1, 2, 5}, {.budget = 0.999 * least}).recovered,
        0);
  }
}

TEST(PooledRecoveryTest, TheEncoderRungLeavesAblatedFeaturesAlone) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const auto texts = random_texts_of_lengths({6, 2, 9});
  const Sae::Features features = {1, 2, 3, 30};
  const PooledReadout readout = {sae.encoder_columns({2}).squeeze(1) + random_readout(8).weight,
                                 -0.1};
  const PooledRecovery none = recover_pooled("none", texts, readout, sae, features, {});
  const PooledRecovery encoder = recover_pooled("encoder", texts, readout, sae, features, {});
  EXPECT_GT(none.drift_pre, 1);
  EXPECT_GT(none.reactivated_fraction, 0.05);
  EXPECT_LT(encoder.drift_pre, 1e-4);
  EXPECT_LT(encoder.drift_post, 1e-4);
  EXPECT_EQ(encoder.reactivated_fraction, 0);
  EXPECT_EQ(encoder.zero_reactivation, encoder.recovered);
  EXPECT_LT(none.zero_reactivation, none.recovered);
  EXPECT_GT(none.gain, encoder.gain);
  EXPECT_EQ(encoder.free_dimension, kD - 4);
  EXPECT_GE(std::min(none.certificate_ratio, encoder.certificate_ratio), 0.99);
}

// AbsTopK, k = 1, two latents that read the two axes. At (0, 1) the first is off; the way to the
// read-out's other side switches it on at -3.
TEST(PooledRecoveryTest, ALatentThatComesBackAtANegativeCodeIsReactivated) {
  const SaeConfig config{.kind = SaeKind::kAbsTopK, .d_in = 2, .d_sae = 2, .k = 1};
  const Sae sae(config, {at::eye(2), at::zeros({2}), at::eye(2), at::zeros({2}), {}});
  const PooledReadout readout = {at::tensor({-1.F, 0.F}), -0.5};
  const PooledRecovery back = recover_pooled(
      "none", {at::tensor({0.F, 1.F}).view({1, 2})}, readout, sae, {0}, {.budget = 3});
  EXPECT_EQ(back.recovered, 1);
  EXPECT_NEAR(back.drift_post, 3, 1e-4);
  EXPECT_EQ(back.reactivated_fraction, 1);
  EXPECT_EQ(back.zero_reactivation, 0);
}

TEST(PooledRecoveryTest, BatchesDoNotChangeTheFigures) {
  const Sae sae = tiny_sae(SaeKind::kTopK);
  const auto texts = random_texts_of_lengths({6, 2, 9, 4, 4});
  const PooledReadout readout = random_readout(5);
  const PooledRecovery together =
      recover_pooled("none", texts, readout, sae, {1, 2}, {.batch = 32});
  const PooledRecovery alone = recover_pooled("none", texts, readout, sae, {1, 2}, {.batch = 2});
  EXPECT_EQ(together.recovered, alone.recovered);
  EXPECT_EQ(together.n, 5);
  EXPECT_NEAR(together.gain, alone.gain, 1e-4);
  EXPECT_NEAR(together.drift_pre, alone.drift_pre, 1e-3);
  EXPECT_NEAR(together.reactivated_fraction, alone.reactivated_fraction, 1e-9);
}

TEST(PooledRecoveryTest, WithoutFlipsNothingIsCountedAndMeansAreNotNumbers) {
  const PooledRecovery nothing =
      recover_pooled("none", {}, random_readout(1), tiny_sae(SaeKind::kStandard), {1}, {});
  EXPECT_EQ(nothing.n, 0);
  EXPECT_TRUE(std::isnan(nothing.gain));
  EXPECT_TRUE(std::isnan(nothing.certificate_ratio));
}

TEST(PooledRecoveryTest, ImpossibleOptionsAreRefused) {
  const auto refuse = [](const PooledRecoveryOptions& options) {
    return message_of<ConfigError>([&] { options.validate(); });
  };
  EXPECT_NE(refuse({.budget = 0}).find("budget must be > 0, got 0"), std::string::npos);
  EXPECT_NE(refuse({.perturbed = -1}).find("perturbed must be >= 0"), std::string::npos);
  EXPECT_NE(message_of<ConfigError>([] {
              pooled_rung_basis("penalty", tiny_sae(SaeKind::kStandard), {1});
            }).find("got penalty, expected none or encoder"),
            std::string::npos);
}

TEST(AblateTest, FeaturesAtZeroChangeNothingAndOthersLeaveTheErrorTerm) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const at::Tensor x = random_texts_of_lengths({30})[0];
  const at::Tensor code = sae.encode(x);
  EXPECT_TRUE(at::equal(ablate(sae, {}, x), x));
  const at::Tensor is_off = code.select(1, 6) == 0;
  const at::Tensor without = ablate(sae, {6}, x);
  EXPECT_TRUE(at::equal(without.index({is_off}), x.index({is_off})));
  EXPECT_FALSE(at::equal(without, x));
  at::Tensor edited = code.clone();
  edited.select(1, 6).fill_(0);
  EXPECT_LT(relative_gap(without, sae.decode(edited) + sae.error(x)), 1e-5);
}

}  // namespace
}  // namespace rebound
