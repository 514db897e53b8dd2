#include "rebound/sae/trainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/sae/vector_math.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

struct Planted {
  at::Tensor atoms;  // [n, d], norm 1
  int64_t active;

  at::Tensor sample(uint64_t seed, int64_t tokens) const {
    Rng rng({seed, 11});
    const int64_t n = atoms.size(0);
    at::Tensor code = at::zeros({tokens, n});
    float* data = code.data_ptr<float>();
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < active; ++i) {
        data[t * n + rng.below(n)] = static_cast<float>(1 + rng.uniform());
      }
    }
    return at::matmul(code, atoms) * 30 + 7;  // far from the scale and mean of training
  }
};

Planted planted(int64_t n, int64_t d, int64_t active) {
  Rng rng({21});
  const at::Tensor rows = random_tensor(rng, {n, d});
  return {rows / rows.norm(2, {1}, true), active};
}

TrainOptions small_options(Selection selection) {
  TrainOptions options;
  options.selection = selection;
  options.d_sae = 384;
  options.k = 5;
  options.batch_tokens = 512;
  options.lr = 3e-3;
  options.warmup_steps = 20;
  options.dead_after_tokens = 20'000;
  options.aux_k = 32;
  return options;
}

class PlantedDictionary : public testing::TestWithParam<Selection> {};

TEST_P(PlantedDictionary, IsFoundAgain) {
  const Planted world = planted(256, 64, 5);
  const TrainOptions options = small_options(GetParam());
  const int64_t steps = 1200;
  SaeTrainer trainer(options, TrainState::start(options, world.sample(1, 4096)), steps);
  StepStats last;
  for (int64_t i = 0; i < steps; ++i) {
    last = trainer.step(world.sample(100 + static_cast<uint64_t>(i), options.batch_tokens));
  }
  EXPECT_LT(last.fvu, 0.25);
  EXPECT_NEAR(last.l0, 5, 0.6);
  const Sae sae = trainer.top_k_sae();
  const at::Tensor cosine = at::matmul(world.atoms, sae.weights().W_dec.t());
  const at::Tensor best = std::get<0>(cosine.max(1));
  EXPECT_GE((best >= 0.9).to(at::kFloat).mean().item<double>(), 0.9);
}

INSTANTIATE_TEST_SUITE_P(Selections,
                         PlantedDictionary,
                         testing::Values(Selection::kTopK, Selection::kBatchTopK));

TEST(SaeTrainerTest, ExportedSaeReconstructsRawActivations) {
  const Planted world = planted(64, 24, 3);
  TrainOptions options = small_options(Selection::kTopK);
  options.d_sae = 64;
  options.k = 3;
  SaeTrainer trainer(options, TrainState::start(options, world.sample(1, 2048)), 300);
  double fvu = 0;
  for (int64_t i = 0; i < 300; ++i) {
    fvu = trainer.step(world.sample(10 + static_cast<uint64_t>(i), 512)).fvu;
  }
  const at::Tensor x = world.sample(5, 2048);
  const Sae sae = trainer.top_k_sae();
  const auto fvu_of = [&](const Sae& s) {
    return (s.error(x).square().sum() / (x - x.mean(0)).square().sum()).item<double>();
  };
  EXPECT_NEAR(fvu_of(sae), fvu, 0.03);
  EXPECT_LT((sae.weights().W_dec.norm(2, {1}) - 1).abs().max().item<double>(), 1e-5);

  const Sae pointwise = with_calibrated_threshold(sae, x, 3);
  EXPECT_TRUE(pointwise.is_pointwise());
  EXPECT_NEAR((pointwise.encode(x) > 0).sum().item<double>() / 2048, 3, 0.01);
}

TEST(SaeTrainerTest, DeadLatentsComeBackWithAuxK) {
  const Planted world = planted(128, 32, 4);
  const auto dead_share = [&](int64_t aux_k) {
    TrainOptions options = small_options(Selection::kBatchTopK);
    options.d_sae = 128;
    options.k = 4;
    options.aux_k = aux_k;
    options.dead_after_tokens = 5'000;
    TrainState state = TrainState::start(options, world.sample(1, 2048));
    state.b_enc.value.slice(0, 0, 64).fill_(-3);  // half of them can hardly fire
    SaeTrainer trainer(options, std::move(state), 300);
    StepStats stats;
    for (int64_t i = 0; i < 300; ++i) {
      stats = trainer.step(world.sample(10 + static_cast<uint64_t>(i), 512));
    }
    return stats.dead_share;
  };
  const double without = dead_share(0);
  EXPECT_GT(without, 0.3);
  EXPECT_LT(dead_share(32), 0.5 * without);
}

TEST(SaeTrainerTest, LearningRateWarmsUpAndDecaysToZero) {
  const Planted world = planted(64, 24, 3);
  TrainOptions options = small_options(Selection::kTopK);
  options.warmup_steps = 10;
  options.decay_fraction = 0.5;
  const SaeTrainer trainer(options, TrainState::start(options, world.sample(1, 64)), 100);
  EXPECT_DOUBLE_EQ(trainer.learning_rate(0), options.lr / 10);
  EXPECT_DOUBLE_EQ(trainer.learning_rate(30), options.lr);
  EXPECT_DOUBLE_EQ(trainer.learning_rate(75), options.lr / 2);
  EXPECT_DOUBLE_EQ(trainer.learning_rate(100), 0);
}

TEST(SaeTrainerTest, RestoredStateContinuesBitForBit) {
  const Planted world = planted(64, 24, 3);
  TrainOptions options = small_options(Selection::kBatchTopK);
  options.dead_after_tokens = 1'000;
  SaeTrainer whole(options, TrainState::start(options, world.sample(1, 2048)), 40);
  const auto path = fresh_folder("trainer") / "state.safetensors";
  for (uint64_t i = 0; i < 20; ++i) whole.step(world.sample(10 + i, 512));
  whole.state().save(path);
  SaeTrainer resumed(options, TrainState::load(path, options.d_sae), 40);
  for (uint64_t i = 20; i < 40; ++i) {
    whole.step(world.sample(10 + i, 512));
    resumed.step(world.sample(10 + i, 512));
  }
  EXPECT_TRUE(at::equal(whole.state().W_dec.value, resumed.state().W_dec.value));
  EXPECT_TRUE(at::equal(whole.state().W_enc.value, resumed.state().W_enc.value));
  EXPECT_TRUE(at::equal(whole.state().b_dec.v, resumed.state().b_dec.v));
  EXPECT_EQ(whole.state().step, resumed.state().step);
  EXPECT_THROW(TrainState::load(path, options.d_sae + 1), DataError);
}

TEST(SaeTrainerTest, OptionsOutOfRangeAreNamed) {
  TrainOptions options;
  options.k = options.d_sae + 1;
  EXPECT_THROW(options.validate(), ConfigError);
  options = {};
  options.lr = 0;
  EXPECT_THROW(options.validate(), ConfigError);
}

TEST(VectorMathTest, AdamFollowsThePaperOnOneNumber) {
  float p = 1, m = 0, v = 0;
  const float g = 0.5f;
  adam(&p, &m, &v, &g, 1, {0.1f, 0.9f, 0.999f, 1e-8f, 1 - 0.9f, 1 - 0.999f});
  EXPECT_NEAR(p, 0.9, 1e-5);  // the first step is lr * sign(g)
  EXPECT_NEAR(m, 0.05, 1e-6);
  EXPECT_NEAR(v, 0.00025, 1e-7);
}

TEST(VectorMathTest, RoundsToTheNearestBfloat16LikeTorch) {
  Rng rng({3});
  const at::Tensor x = random_tensor(rng, {1000}, 100);
  at::Tensor rounded = at::empty({1000}, at::kBFloat16);
  to_bfloat16_nearest(x.data_ptr<float>(), static_cast<uint16_t*>(rounded.data_ptr()), 1000);
  EXPECT_TRUE(at::equal(rounded, x.to(at::kBFloat16)));
}

}  // namespace
}  // namespace rebound
