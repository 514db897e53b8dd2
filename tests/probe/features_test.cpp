// Poolers, the harvest of texts, and pooled features of a tiny model and SAE.
#include "rebound/probe/features.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/probe/text_activations.h"
#include "rebound/sae/sinks.h"
#include "sae/sae_fixture.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

using Ids = std::vector<std::vector<int64_t>>;

const Site kSite{2, SiteKind::kResidPre};

Ids texts_of_lengths(const std::vector<int64_t>& lengths) {
  Rng rng({31});
  Ids texts;
  for (const int64_t length : lengths) texts.push_back(random_ids(rng, length));
  return texts;
}

void harvest(const Ids& texts, ActivationCache& cache, int64_t batch_tokens) {
  static const Transformer model = tiny_transformer();
  harvest_texts(model, kSite, texts, cache, {.batch_tokens = batch_tokens});
}

at::Tensor two_by_three() { return at::tensor({1.F, 5.F, -2.F, 3.F, 1.F, -4.F}).view({2, 3}); }

at::Tensor pooled(const std::string& name) {
  const Pooler pooler = parse_pooler(name);
  return pooler.reduce(pooler.select(two_by_three()));
}

TEST(PoolerTest, HandComputedValues) {
  EXPECT_TRUE(at::equal(pooled("max"), at::tensor({3.F, 5.F, -2.F})));
  EXPECT_TRUE(at::equal(pooled("mean"), at::tensor({2.F, 3.F, -3.F})));
  EXPECT_TRUE(at::equal(pooled("last"), at::tensor({3.F, 1.F, -4.F})));
  EXPECT_TRUE(at::equal(pooled("-2"), at::tensor({1.F, 5.F, -2.F})));
  EXPECT_TRUE(at::equal(pooled("1"), pooled("last")));
}

TEST(PoolerTest, NamesRoundTripAndOthersAreRefused) {
  for (const std::string name : {"max", "mean", "last", "-5", "0", "12"}) {
    EXPECT_EQ(to_string(parse_pooler(name)), name);
  }
  for (const std::string name : {"median", "", "-", "--1", "1.5", "99999999999999999999"}) {
    EXPECT_NE(message_of<ConfigError>([&] { parse_pooler(name); }).find("expected max, mean, last"),
              std::string::npos);
  }
}

TEST(PoolerTest, APositionOutsideTheTextIsADataError) {
  EXPECT_NE(message_of<DataError>([] { pooled("-3"); }).find("position -3 of a text of 2 tokens"),
            std::string::npos);
  EXPECT_NE(message_of<DataError>([] { pooled("2"); }).find("position 2"), std::string::npos);
  EXPECT_NE(message_of<DataError>([] {
              Pooler().select(at::empty({0, 3}));
            }).find("without a token"),
            std::string::npos);
}

TEST(HarvestTextsTest, KeepsTheTokensThatCountOfTheModelsOwnRun) {
  const Transformer model = tiny_transformer();
  const Ids texts = texts_of_lengths({7, 3, 12});
  ActivationCache cache(3, 24);
  harvest(texts, cache, 1000);
  for (int64_t i = 0; i < 3; ++i) {
    const TokenBatch one = TokenBatch::from({texts[static_cast<size_t>(i)]});
    const at::Tensor resid = model.run(one, {.stop_before_layer = 2}).resid;
    const at::Tensor expected = resid[0].index({counted_tokens(resid, one.rows())[0]});
    ASSERT_EQ(cache.tokens(i).sizes(), expected.sizes());
    EXPECT_LT(relative_gap(cache.tokens(i), expected), 1e-5);
    EXPECT_LT(cache.tokens(i).size(0), static_cast<int64_t>(texts[static_cast<size_t>(i)].size()));
  }
}

TEST(HarvestTextsTest, BatchesDoNotChangeTheValues) {
  const Ids texts = texts_of_lengths({9, 2, 5, 5, 14, 3});
  ActivationCache together(6, 24), alone(6, 24);
  harvest(texts, together, 1000);
  harvest(texts, alone, 1);
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_LT(relative_gap(together.tokens(i), alone.tokens(i)), 1e-5);
  }
}

TEST(HarvestTextsTest, ATextOfOneTokenHasNoneThatCounts) {
  ActivationCache cache(2, 24);
  const std::string message = message_of<DataError>([&] {
    harvest(texts_of_lengths({4, 1}), cache, 1000);
  });
  EXPECT_NE(message.find("text 1: got 1 tokens of which none counts"), std::string::npos)
      << message;
}

TEST(EncodeTextsTest, ALongTextKeepsItsFirstTokenAndItsEnd) {
  ProbeTask task = {.name = "t",
                    .texts = {{.id = "a", .text = "abcdefgh"}, {.id = "b", .text = "xyz"}}};
  const Tokenizer tokenizer = tiny_tokenizer({});
  const auto ids = encode_texts(task, tokenizer, nullptr, {.max_tokens = 4});
  EXPECT_EQ(tokenizer.decode(ids[0]), "afgh");
  EXPECT_EQ(tokenizer.decode(ids[1]), "xyz");
}

TEST(PooledFeaturesTest, EachReadingIsPooledAfterItIsTaken) {
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  ActivationCache cache(3, 24);
  harvest(texts_of_lengths({6, 11, 4}), cache, 1000);
  for (const std::string name : {"max", "mean", "last"}) {
    const Pooler pooler = parse_pooler(name);
    const PooledFeatures features = pool_features(cache, pooler, &sae);
    for (int64_t i = 0; i < 3; ++i) {
      const at::Tensor x = pooler.select(cache.tokens(i)), f = sae.encode(x);
      EXPECT_LT(relative_gap(features.residual[i], pooler.reduce(x)), 1e-6);
      EXPECT_LT(relative_gap(features.code[i], pooler.reduce(f)), 1e-5);
      EXPECT_LT(relative_gap(features.reconstruction[i], pooler.reduce(sae.decode(f))), 1e-5);
      EXPECT_LT(relative_gap(features.error[i], pooler.reduce(x - sae.decode(f))), 1e-5);
    }
  }
}

TEST(PooledFeaturesTest, MeansOfReconstructionAndErrorAddUpToTheResidual) {
  const Sae sae = tiny_sae(SaeKind::kTopK);
  ActivationCache cache(2, 24);
  harvest(texts_of_lengths({6, 11}), cache, 1000);
  const PooledFeatures f = pool_features(cache, parse_pooler("mean"), &sae);
  EXPECT_LT(relative_gap(f.reconstruction + f.error, f.residual), 1e-5);
  EXPECT_FALSE(pool_features(cache, parse_pooler("mean"), nullptr).has_sae());
}

}  // namespace
}  // namespace rebound
