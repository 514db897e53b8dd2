#include "rebound/scaling/tiny_training.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

TinyShape training_shape() {
  return {.d_model = 16, .n_layers = 1, .n_heads = 2, .vocabulary = 32, .context_length = 16};
}

// Each byte is the one before plus one: a bigram model reaches loss 0.
at::Tensor counting_contexts(int64_t n) {
  Rng rng({1});
  const at::Tensor first = at::tensor(random_ids(rng, n, 32), at::kLong).view({n, 1});
  return (first + at::arange(16, at::kLong)).remainder(32).to(at::kInt);
}

TEST(TinyTrainingTest, LearnsWhatFollows) {
  TinyLlama model(training_shape(), 0);
  const TinyTraining result = train_tiny_llama(
      model, counting_contexts(1200), {.steps = 150, .batch_contexts = 8, .lr = 1e-2});
  EXPECT_GT(result.first_loss, 3);
  EXPECT_LT(result.last_loss, 0.3);
  EXPECT_LT(model.loss(counting_contexts(20).to(at::kLong)).item<double>(), 0.3);
}

TEST(TinyTrainingTest, TheRateRisesAndFallsToZero) {
  const TinyTrainOptions options{.steps = 100, .lr = 2, .warmup_fraction = 0.1};
  EXPECT_DOUBLE_EQ(options.learning_rate(0), 0.2);
  EXPECT_DOUBLE_EQ(options.learning_rate(9), 2);
  EXPECT_DOUBLE_EQ(options.learning_rate(10), 2);
  EXPECT_DOUBLE_EQ(options.learning_rate(55), 1);
  EXPECT_NEAR(options.learning_rate(99), 2.0 / 90, 1e-12);
  const TinyTrainOptions cold{.steps = 4, .lr = 1, .warmup_fraction = 0};
  EXPECT_DOUBLE_EQ(cold.learning_rate(0), 1);
  EXPECT_DOUBLE_EQ(cold.learning_rate(3), 0.25);
}

TEST(TinyTrainingTest, TheSameTextAndSeedGiveTheSameWeights) {
  const auto weights = [](uint64_t seed) {
    TinyLlama model(training_shape(), seed);
    train_tiny_llama(model, counting_contexts(40), {.steps = 5, .batch_contexts = 8});
    return model.weights().head;
  };
  EXPECT_TRUE(at::equal(weights(4), weights(4)));
  EXPECT_FALSE(at::equal(weights(4), weights(5)));
}

TEST(TinyTrainingTest, EachContextIsUsedOnceInOrder) {
  // Contexts behind the last step's play no part.
  const auto weights = [](const at::Tensor& contexts) {
    TinyLlama model(training_shape(), 0);
    train_tiny_llama(model, contexts, {.steps = 5, .batch_contexts = 4});
    return model.weights().head;
  };
  const at::Tensor contexts = counting_contexts(30);
  at::Tensor tail_changed = contexts.clone(), last_changed = contexts.clone();
  tail_changed.slice(0, 20).fill_(3);
  last_changed[19].fill_(3);
  EXPECT_TRUE(at::equal(weights(contexts), weights(tail_changed)));
  EXPECT_FALSE(at::equal(weights(contexts), weights(last_changed)));
}

TEST(TinyTrainingTest, OnlyMatricesDecay) {
  TinyLlama model(training_shape(), 0);
  const at::Tensor before = model.weights().layers[0].o;
  const at::Tensor gains_before = model.weights().final_norm;
  train_tiny_llama(
      model,
      counting_contexts(1),
      {.steps = 1, .batch_contexts = 1, .lr = 1e-3, .warmup_fraction = 0, .weight_decay = 500});
  // Matrices are multiplied by 1 - lr * decay = 0.5; Adam's first step moves any weight by lr.
  EXPECT_LT(relative_gap(model.weights().layers[0].o, 0.5 * before), 1.1e-3);
  EXPECT_LT(relative_gap(model.weights().final_norm, gains_before), 1.1e-3);
}

TEST(TinyTrainingTest, TooLittleTextAndBadOptionsAreRefused) {
  TinyLlama model(training_shape(), 0);
  const auto train = [&](const TinyTrainOptions& options) {
    return message_of<ConfigError>(
        [&] { train_tiny_llama(model, counting_contexts(10), options); });
  };
  EXPECT_NE(train({.steps = 3, .batch_contexts = 4}).find("expected at least 12"),
            std::string::npos);
  EXPECT_NE(train({.steps = 0}).find("steps"), std::string::npos);
  EXPECT_NE(train({.steps = 1, .batch_contexts = 1, .lr = 0}).find("lr"), std::string::npos);
  EXPECT_NE(train({.steps = 1, .batch_contexts = 1, .warmup_fraction = 1}).find("warmup"),
            std::string::npos);
  EXPECT_NE(train({.steps = 1, .batch_contexts = 1, .clip_norm = 0}).find("clip"),
            std::string::npos);
}

TEST(TinyTrainingTest, ALossThatIsNoNumberEndsIt) {
  TinyLlama model(training_shape(), 0);
  {
    const at::NoGradGuard no_grad;
    model.matrices()[0].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_THROW(train_tiny_llama(model, counting_contexts(8), {.steps = 1}), NumericError);
}

}  // namespace
}  // namespace rebound
