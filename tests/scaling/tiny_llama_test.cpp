#include "rebound/scaling/tiny_llama.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/model/flops.h"
#include "rebound/sae/harvest.h"
#include "rebound/scaling/byte_tokenizer.h"
#include "rebound/scaling/splice_loss.h"
#include "rebound/stats/quantile.h"
#include "rebound/text/load.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

TinyShape small_shape() {
  return {.d_model = 20, .n_layers = 3, .n_heads = 2, .vocabulary = 256, .context_length = 24};
}

// Gains away from 1 and a head that matters, so that every weight has a say.
TinyLlama perturbed_llama() {
  TinyLlama model(small_shape(), 3);
  const at::NoGradGuard no_grad;
  Rng rng({5});
  for (at::Tensor gain : model.gains()) gain += random_tensor(rng, gain.sizes().vec(), 0.2);
  for (at::Tensor matrix : model.matrices()) {
    matrix += random_tensor(rng, matrix.sizes().vec(), 0.2);
  }
  return model;
}

at::Tensor random_bytes(int64_t n, int64_t pos) {
  Rng rng({8});
  return at::tensor(random_ids(rng, n * pos, 256), at::kLong).view({n, pos});
}

TEST(TinyLlamaTest, LossIsThatOfTheEnginesModel) {
  const TinyLlama model = perturbed_llama();
  const Transformer engine(model.config(), model.weights());
  for (const int64_t pos : {24, 17, 2}) {
    const at::Tensor ids = random_bytes(5, pos);
    const double expected = mean(context_losses(engine, ids));
    EXPECT_NEAR(model.loss(ids).item<double>(), expected, 2e-5 * expected) << pos;
  }
}

TEST(TinyLlamaTest, ASavedFolderIsTheSameModel) {
  const TinyLlama model = perturbed_llama();
  const auto folder = fresh_folder("saved");
  const at::Tensor ids = random_bytes(5, 24);
  const double expected = model.loss(ids).item<double>();

  model.save(folder / "full", byte_tokenizer_json(), at::kFloat);
  const Transformer full = load_model((folder / "full").string());
  EXPECT_NEAR(mean(context_losses(full, ids)), expected, 2e-5 * expected);
  const ModelWeights weights = model.weights();
  EXPECT_TRUE(at::equal(full.weights().layers[1].qkv, weights.layers[1].qkv));
  EXPECT_TRUE(at::equal(full.weights().layers[2].gate_up, weights.layers[2].gate_up));

  model.save(folder / "half", byte_tokenizer_json());
  const Transformer half = load_model((folder / "half").string());
  EXPECT_NEAR(mean(context_losses(half, ids)), expected, 5e-3 * expected);
  EXPECT_EQ(load_tokenizer(folder / "half").encode("ab"), (std::vector<int64_t>{'a', 'b'}));
  EXPECT_FALSE(load_chat_template(folder / "half").has_value());
}

TEST(TinyLlamaTest, GradientsAgreeWithFiniteDifferences) {
  const TinyLlama model = perturbed_llama();
  const at::Tensor ids = random_bytes(4, 20);
  model.loss(ids).backward();
  std::vector<at::Tensor> leaves = model.matrices();
  for (const at::Tensor& gain : model.gains()) leaves.push_back(gain);
  Rng rng({2});
  for (at::Tensor& leaf : leaves) {
    ASSERT_TRUE(leaf.grad().defined());
    const at::NoGradGuard no_grad;
    const at::Tensor direction = random_tensor(rng, leaf.sizes().vec());
    const double predicted = (leaf.grad() * direction).sum().item<double>();
    const double step = 2e-3;
    leaf += step * direction;
    const double above = model.loss(ids).item<double>();
    leaf -= 2 * step * direction;
    const double below = model.loss(ids).item<double>();
    leaf += step * direction;
    EXPECT_NEAR((above - below) / (2 * step), predicted, 0.02 * std::abs(predicted) + 3e-3);
  }
}

TEST(TinyLlamaTest, TheFuturePlaysNoPart) {
  const TinyLlama model = perturbed_llama();
  at::Tensor ids = random_bytes(1, 24);
  const auto loss_of_first = [&](int64_t n) {
    return model.loss(ids.slice(1, 0, n)).item<double>();
  };
  const double before = loss_of_first(10);
  ids[0][15] = 7;
  EXPECT_EQ(loss_of_first(10), before);
  ids[0][5] = (ids[0][5].item<int64_t>() + 1) % 256;
  EXPECT_NE(loss_of_first(10), before);
}

TEST(TinyLlamaTest, ParametersAndFlopsAreCounted) {
  const TinyShape shape = small_shape();
  const TinyLlama model(shape, 0);
  int64_t parameters = 0;
  for (const at::Tensor& tensor : model.matrices()) parameters += tensor.numel();
  for (const at::Tensor& tensor : model.gains()) parameters += tensor.numel();
  EXPECT_EQ(shape.parameters(), parameters);

  const Transformer engine(model.config(), model.weights());
  const TokenBatch batch = batch_of_contexts(random_bytes(3, 24));
  const int64_t before = FlopCount::total();
  engine.logits(engine.run(batch).resid);
  const auto counted = static_cast<double>(FlopCount::total() - before);
  EXPECT_DOUBLE_EQ(counted, 3 * 24 * shape.forward_flops_per_token());
  EXPECT_DOUBLE_EQ(shape.training_flops_per_token(), 3 * shape.forward_flops_per_token());
}

TEST(TinyLlamaTest, StartsNearAFlatPredictionAndASeedRepeatsIt) {
  const at::Tensor ids = random_bytes(6, 24);
  const double loss = TinyLlama(small_shape(), 1).loss(ids).item<double>();
  EXPECT_NEAR(loss, std::log(256.0), 0.1);
  EXPECT_EQ(TinyLlama(small_shape(), 1).loss(ids).item<double>(), loss);
  EXPECT_NE(TinyLlama(small_shape(), 2).loss(ids).item<double>(), loss);
}

TEST(TinyLlamaTest, BadShapesAreRefused) {
  TinyShape shape = small_shape();
  shape.d_model = 22;
  EXPECT_THROW(shape.config(), ConfigError);
  EXPECT_THROW(TinyLlama(shape, 0), ConfigError);
  const TinyLlama model(small_shape(), 0);
  EXPECT_THROW(model.loss(random_bytes(1, 25)), DataError);
  EXPECT_THROW(model.loss(random_bytes(1, 1)), DataError);
}

TEST(TinyLlamaTest, WeightsThatDoNotFitTheFileAreRefused) {
  const TinyLlama model(small_shape(), 0);
  {
    const at::NoGradGuard no_grad;
    model.gains()[0].mul_(1e6);
  }
  const auto folder = fresh_folder("overflow");
  const std::string message =
      message_of<DataError>([&] { model.save(folder, byte_tokenizer_json()); });
  EXPECT_NE(message.find("model.norm.weight"), std::string::npos) << message;
  EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors"));
}

}  // namespace
}  // namespace rebound
