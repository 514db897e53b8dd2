#include "rebound/intervene/feature_attribution.h"

#include <gtest/gtest.h>

#include <set>

#include "intervene/intervene_fixture.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

const Site kAttributionSite{2, SiteKind::kResidPre};

ScoredPrompts scored_prompts() {
  return {random_prompts(), at::tensor({4, 9, 30}, at::kLong), at::tensor({17, 2, 31}, at::kLong)};
}

ScoredPrompts single(const ScoredPrompts& all, int64_t i) {
  const int64_t length = all.tokens.lengths[static_cast<size_t>(i)];
  return {{all.tokens.ids.narrow(0, i, 1).narrow(1, 0, length), {length}},
          all.correct.narrow(0, i, 1),
          all.wrong.narrow(0, i, 1)};
}

at::Tensor resid_at_site(const Transformer& model, const TokenBatch& batch) {
  RunOptions capture;
  capture.hooks.capture = {kAttributionSite};
  return model.run(batch, capture).activations.at(kAttributionSite);
}

// A transformer whose blocks write nothing.
Transformer idle_transformer() {
  const Transformer model = tiny_transformer();
  ModelWeights weights = model.weights();
  for (LayerWeights& layer : weights.layers) {
    layer.o = at::zeros_like(layer.o);
    layer.down = at::zeros_like(layer.down);
  }
  return Transformer(model.config(), weights);
}

TEST(LogitDifferencesTest, AreReadFromTheLastRealPosition) {
  const Transformer model = tiny_transformer();
  const ScoredPrompts prompts = scored_prompts();
  const at::Tensor got = logit_differences(model, prompts, {});
  for (int64_t i = 0; i < 3; ++i) {
    const ScoredPrompts one = single(prompts, i);
    const at::Tensor logits = model.logits(model.run(one.tokens).resid[0][-1]);
    const double expected =
        (logits[one.correct[0].item<int64_t>()] - logits[one.wrong[0].item<int64_t>()])
            .item<double>();
    EXPECT_NEAR(got[i].item<double>(), expected, 1e-4 * (1 + std::abs(expected)));
  }
}

// With idle blocks the score is w . h / rms(h) of the last token, w = gain (W_U[c] - W_U[r]):
// its slope is (w - h (w . h) / (d rms^2)) / rms.
TEST(AttributeFeaturesTest, ClosedFormOfALinearReadOut) {
  const Transformer model = idle_transformer();
  const auto sae = random_sae();
  const ScoredPrompts prompts = scored_prompts();
  const at::Tensor resid = resid_at_site(model, prompts.tokens).to(at::kDouble);
  at::Tensor expected = at::zeros({40}, at::kDouble);
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor h = resid[i][prompts.tokens.lengths[static_cast<size_t>(i)] - 1];
    const auto& weights = model.weights();
    const at::Tensor w = weights.final_norm * (weights.head.dense()[prompts.correct[i].item<int64_t>()] -
                                               weights.head.dense()[prompts.wrong[i].item<int64_t>()]);
    const at::Tensor mean_square = h.square().mean() + model.config().rms_norm_eps;
    const at::Tensor slope =
        (w - h * w.to(at::kDouble).dot(h) / (24 * mean_square)) / mean_square.sqrt();
    const at::Tensor code = sae->encode(h.to(at::kFloat)).to(at::kDouble);
    expected += code * at::matmul(sae->weights().W_dec.to(at::kDouble), slope) / 3;
  }
  const at::Tensor got = attribute_features(model, *sae, prompts).to(at::kDouble);
  EXPECT_LT(((got - expected).abs().max() / expected.abs().max()).item<double>(), 1e-5);
}

// The slope of the score along sum over positions of f_j W_dec[j], by central differences.
TEST(AttributeFeaturesTest, FiniteDifferencesThroughTheModel) {
  constexpr double kStep = 1e-2;
  const Transformer model = tiny_transformer();
  const auto sae = random_sae();
  const ScoredPrompts one = single(scored_prompts(), 1);
  const at::Tensor h = resid_at_site(model, one.tokens);
  at::Tensor code = sae->encode(h);
  code.select(1, 0).zero_();  // position 0 does not count
  const at::Tensor got = attribute_features(model, *sae, one);
  const auto score = [&](const at::Tensor& value) {
    Hooks hooks;
    hooks.edits[kAttributionSite] = [&](const at::Tensor&, const Rows&) { return value; };
    return logit_differences(model, one, hooks).item<double>();
  };
  for (int64_t j = 0; j < 40; ++j) {
    const at::Tensor along = code.select(-1, j).unsqueeze(-1) * sae->weights().W_dec[j];
    const double slope = (score(h + kStep * along) - score(h - kStep * along)) / (2 * kStep);
    EXPECT_NEAR(got[j].item<double>(), slope, 2e-3 * got.abs().max().item<double>()) << j;
  }
}

TEST(AttributeFeaturesTest, ABatchIsTheMeanOfItsPrompts) {
  const Transformer model = tiny_transformer();
  const auto sae = random_sae();
  const ScoredPrompts prompts = scored_prompts();
  at::Tensor mean = at::zeros({40});
  for (int64_t i = 0; i < 3; ++i) mean += attribute_features(model, *sae, single(prompts, i)) / 3;
  EXPECT_LT(relative_gap(attribute_features(model, *sae, prompts), mean), 1e-4);
}

TEST(AttributeFeaturesTest, AnSaeOfADeeperModelIsRefused) {
  SaeConfig config = random_sae()->config();
  config.hook_name = "blocks.9.hook_resid_pre";
  const Sae sae(config, random_sae()->weights());
  EXPECT_THROW(attribute_features(tiny_transformer(), sae, scored_prompts()), DataError);
}

TEST(FeatureStatisticsTest, AreThoseOfTheCountedTokensOneByOne) {
  const Transformer model = tiny_transformer();
  const auto sae = random_sae();
  const TokenBatch batch = random_prompts();
  const at::Tensor resid = resid_at_site(model, batch);
  std::vector<at::Tensor> tokens;
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t p = 1; p < batch.lengths[static_cast<size_t>(i)]; ++p) {
      tokens.push_back(resid[i][p]);
    }
  }
  const at::Tensor pre = sae->pre_activations(at::stack(tokens)).to(at::kDouble);
  const at::Tensor on = pre > sae->weights().threshold;
  const double n = static_cast<double>(tokens.size());
  const at::Tensor mean = pre.sum(0) / n;
  const FeatureStatistics got = feature_statistics(model, *sae, batch);
  EXPECT_LT(relative_gap(got.firing_rate, on.sum(0) / n), 1e-6);
  EXPECT_LT(relative_gap(got.pre_std, ((pre - mean).square().sum(0) / (n - 1)).sqrt()), 1e-5);
}

TEST(TopFeaturesTest, BestFirstAndPositiveOnly) {
  const at::Tensor attribution = at::tensor({0.5, -3., 2., 0., 1.});
  EXPECT_EQ(top_features(attribution, 2), (Sae::Features{2, 4}));
  EXPECT_EQ(top_features(attribution, 9), (Sae::Features{2, 4, 0}));
  EXPECT_TRUE(top_features(attribution, 0).empty());
}

TEST(MatchedRandomFeaturesTest, TakesTheNearestRateThatIsLeft) {
  //                                  0     1     2     3     4     5     6
  const at::Tensor rates = at::tensor({.10f, .50f, .12f, .45f, .30f, .90f, .14f});
  for (const uint64_t seed : {0, 1, 2}) {
    EXPECT_EQ(matched_random_features(rates, {0, 1}, seed), (Sae::Features{2, 3}));
    // 0 takes 2 first, which leaves 6 to the second of equal rate.
    EXPECT_EQ(matched_random_features(at::cat({rates, rates.narrow(0, 0, 1)}), {0, 7}, seed),
              (Sae::Features{2, 6}));
  }
  EXPECT_EQ(matched_random_features(rates, {0, 1, 2, 3, 4, 5}, 0), (Sae::Features{6}));
}

TEST(MatchedRandomFeaturesTest, TiesDependOnTheSeedAlone) {
  const at::Tensor rates = at::full({30}, 0.2);
  std::set<Sae::Features> draws;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Sae::Features drawn = matched_random_features(rates, {4, 5}, seed);
    EXPECT_EQ(drawn, matched_random_features(rates, {4, 5}, seed));
    for (const int64_t feature : drawn) EXPECT_TRUE(feature != 4 && feature != 5);
    draws.insert(drawn);
  }
  EXPECT_GT(draws.size(), 5U);
}

}  // namespace
}  // namespace rebound
