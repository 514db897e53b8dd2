#include "rebound/scaling/splice_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/sae/evaluate.h"
#include "rebound/stats/quantile.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

at::Tensor random_contexts(int64_t n, int64_t pos = 16) {
  Rng rng({31});
  return at::tensor(random_ids(rng, n * pos), at::kLong).view({n, pos});
}

TEST(SpliceLossTest, MeansOverContextsAreThoseOfTheSaeEvaluation) {
  const Transformer model = tiny_transformer();
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const at::Tensor contexts = random_contexts(11);
  const SaeEvaluation expected = evaluate_sae(sae, model, contexts);
  const Site site = parse_site(sae.config().hook_name);
  const at::Tensor mean_value = mean_activation(model, site, contexts);
  const auto loss = [&](const Hooks& hooks) {
    return mean(context_losses(model, contexts, hooks));
  };
  EXPECT_NEAR(loss({}), expected.ce_clean, 1e-6);
  EXPECT_NEAR(loss(splice_hooks(sae, model.config())), expected.ce_spliced, 1e-6);
  EXPECT_NEAR(loss(ablation_hooks(site, mean_value)), expected.ce_mean, 1e-5);
  EXPECT_NEAR(loss(ablation_hooks(site, at::zeros({24}))), expected.ce_zero, 1e-6);
  EXPECT_GT(std::abs(expected.ce_spliced - expected.ce_clean), 0.01);
}

TEST(SpliceLossTest, APerfectReconstructionChangesNothing) {
  const Transformer model = tiny_transformer();
  const Sae sae = identity_sae();
  const at::Tensor contexts = random_contexts(3);
  const auto clean = context_losses(model, contexts);
  const auto spliced = context_losses(model, contexts, splice_hooks(sae, model.config()));
  ASSERT_EQ(clean.size(), 3u);
  for (size_t i = 0; i < clean.size(); ++i) EXPECT_NEAR(spliced[i], clean[i], 1e-4);
}

TEST(SpliceLossTest, EachContextHasItsOwnLoss) {
  const Transformer model = tiny_transformer();
  const at::Tensor contexts = random_contexts(10);
  const auto all = context_losses(model, contexts);
  for (const int64_t i : {0, 7, 9}) {
    EXPECT_NEAR(
        context_losses(model, contexts.slice(0, i, i + 1))[0], all[static_cast<size_t>(i)], 1e-6);
  }
  EXPECT_NE(all[0], all[1]);
}

TEST(SpliceLossTest, WhatDoesNotFitIsRefused) {
  const Transformer model = tiny_transformer();
  const Sae wide = tiny_sae(SaeKind::kStandard, SaeNorm::kNone, 25);
  EXPECT_THROW(splice_hooks(wide, model.config()), DataError);
  EXPECT_THROW(context_losses(model, at::zeros({0, 16}, at::kLong)), DataError);
  EXPECT_THROW(context_losses(model, at::zeros({2, 1}, at::kLong)), DataError);
}

}  // namespace
}  // namespace rebound
