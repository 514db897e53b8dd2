#include "rebound/sae/evaluate.h"

#include <gtest/gtest.h>

#include <numeric>

#include "rebound/base/error.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/self_check.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

at::Tensor random_contexts(int64_t n, int64_t pos = 16) {
  Rng rng({31});
  return at::tensor(random_ids(rng, n * pos), at::kLong).view({n, pos});
}

at::Tensor random_tensor_of_norm(double norm) {
  Rng rng({32});
  const at::Tensor rows = random_tensor(rng, {61, 24});
  return rows / rows.norm(2, {1}, true) * norm;
}

TEST(HarvestTest, StoppingBelowTheSiteEqualsACaptureOfTheWholeRun) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = batch_of_contexts(random_contexts(3));
  for (const SiteKind kind : {SiteKind::kResidPre, SiteKind::kResidMid, SiteKind::kResidPost}) {
    const Site site{2, kind};
    RunOptions options;
    options.hooks.capture = {site};
    const at::Tensor expected = model.run(batch, options).activations.at(site);
    EXPECT_LT(relative_gap(activations_at(model, site, batch).resid, expected), 1e-6);
  }
  EXPECT_THROW(activations_at(model, {4, SiteKind::kResidPre}, batch), ConfigError);
  EXPECT_THROW(activations_at(model, {1, SiteKind::kQ}, batch), ConfigError);
}

TEST(EvaluateTest, APerfectSaeRecoversEverything) {
  const SaeEvaluation e = evaluate_sae(identity_sae(), tiny_transformer(), random_contexts(5), 2);
  EXPECT_LT(e.fvu, 1e-6);
  EXPECT_NEAR(e.l0, 24, 1e-9);
  EXPECT_NEAR(e.norm_ratio, 1, 1e-5);
  EXPECT_NEAR(e.ce_spliced, e.ce_clean, 1e-4);
  EXPECT_NEAR(e.ce_recovered, 1, 1e-2);
  EXPECT_EQ(e.tokens + e.sinks, 5 * 16);
  EXPECT_GE(e.sinks, 5);
}

TEST(EvaluateTest, CrossEntropyIsTheMeanOverNextTokens) {
  const Transformer model = tiny_transformer();
  const at::Tensor contexts = random_contexts(2);
  const at::Tensor resid = model.run(batch_of_contexts(contexts)).resid;
  const at::Tensor log_p = model.logits(resid).log_softmax(-1).slice(1, 0, -1);
  const at::Tensor next = contexts.slice(1, 1).unsqueeze(-1);
  const double expected = -log_p.gather(-1, next).mean().item<double>();
  EXPECT_NEAR(evaluate_sae(identity_sae(), model, contexts).ce_clean, expected, 1e-5);
}

TEST(EvaluateTest, AnSaeThatIsAlwaysOffEqualsMeanOrZeroAblation) {
  const Sae base = tiny_sae(SaeKind::kJumpRelu);
  SaeWeights weights = base.weights();
  weights.threshold = at::full({40}, 1e9);
  weights.b_dec = at::zeros({24});
  const SaeEvaluation e =
      evaluate_sae(Sae(base.config(), weights), tiny_transformer(), random_contexts(3));
  EXPECT_EQ(e.l0, 0);
  EXPECT_EQ(e.dead, 1);
  EXPECT_EQ(e.firing_histogram[0], 40);
  EXPECT_NEAR(e.ce_spliced, e.ce_zero, 1e-6);
  EXPECT_GE(e.fvu, 1 - 1e-6);
}

TEST(EvaluateTest, BatchSizeChangesNothing) {
  const Transformer model = tiny_transformer();
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const SaeEvaluation a = evaluate_sae(sae, model, random_contexts(4), 4);
  const SaeEvaluation b = evaluate_sae(sae, model, random_contexts(4), 1);
  EXPECT_NEAR(a.ce_spliced, b.ce_spliced, 1e-5);
  EXPECT_NEAR(a.fvu, b.fvu, 1e-6);
}

// Tokens of norm 1, 3 and 15: the last is 15 times the median of its own context and 5 times that
// of both together.
TEST(EvaluateTest, WhoIsASinkDoesNotDependOnTheBatch) {
  const Transformer base = tiny_transformer();
  ModelWeights weights = base.weights();
  at::Tensor embed = random_tensor_of_norm(1.0);
  embed.slice(0, 20, 40) *= 3;
  embed[40] *= 15;
  weights.embed = embed;
  const Transformer model(base.config(), std::move(weights));
  SaeConfig config = tiny_sae(SaeKind::kJumpRelu).config();
  config.hook_name = "blocks.0.hook_resid_pre";
  const Sae sae(config, tiny_sae(SaeKind::kJumpRelu).weights());
  at::Tensor contexts = at::stack({at::arange(16), at::arange(20, 36)});
  contexts[0][5] = 40;
  const SaeEvaluation one = evaluate_sae(sae, model, contexts, 1);
  const SaeEvaluation both = evaluate_sae(sae, model, contexts, 2);
  EXPECT_EQ(one.sinks, both.sinks);
  EXPECT_NEAR(one.fvu, both.fvu, 1e-6);
  EXPECT_NEAR(one.ce_spliced, both.ce_spliced, 1e-5);
  EXPECT_NEAR(one.ce_zero, both.ce_zero, 1e-5);
}

TEST(FitStatsTest, EqualsTheFormulaOfItsHeader) {
  const Sae sae = tiny_sae(SaeKind::kStandard);
  Rng rng({2});
  const at::Tensor x = random_tensor(rng, {50, 24}, 3) + 5;
  FitStats stats(sae);
  stats.add(x.slice(0, 0, 20));
  stats.add(x.slice(0, 20));
  const double expected =
      (sae.error(x).square().sum() / (x - x.mean(0)).square().sum()).item<double>();
  EXPECT_NEAR(stats.fvu(), expected, 1e-5 * expected);
  EXPECT_EQ(stats.tokens(), 50);
  EXPECT_TRUE(at::allclose(stats.mean(), x.mean(0), 1e-4, 1e-5));
  const FiringHistogram histogram = stats.firing_histogram();
  EXPECT_EQ(std::accumulate(histogram.begin(), histogram.end(), int64_t{0}), 40);
}

TEST(SelfCheckTest, AGoodSaePassesAndAWrongScaleIsNamed) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = batch_of_contexts(random_contexts(4));
  EXPECT_NO_THROW(require_good_fit(self_check(identity_sae(), model, batch)));
  const Sae good = identity_sae();
  SaeWeights weights = good.weights();
  weights.W_dec = weights.W_dec * 5;
  const SelfCheck bad = self_check(Sae(good.config(), weights), model, batch);
  EXPECT_GT(bad.fvu, 1);
  EXPECT_NEAR(bad.norm_ratio, 5, 1e-3);
  try {
    require_good_fit(bad);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("scale"), std::string::npos);
  }
  EXPECT_NO_THROW(require_good_fit(bad, true));
}

}  // namespace
}  // namespace rebound
