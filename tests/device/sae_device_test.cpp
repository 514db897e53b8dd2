// SAEs, statistics of features, harvests and probes on another device against the CPU.
#include "device/device_fixture.h"
#include "rebound/intervene/contrast.h"
#include "rebound/intervene/feature_attribution.h"
#include "rebound/probe/features.h"
#include "rebound/probe/text_activations.h"
#include "rebound/sae/activation_buffer.h"
#include "rebound/sae/evaluate.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/self_check.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

class SaeDeviceTest : public DeviceTest {
 protected:
  Rng rng_ = Rng({83});
  Transformer near_ = tiny_transformer();

  std::vector<std::vector<int64_t>> texts() {
    return {random_ids(rng_, 9), random_ids(rng_, 5), random_ids(rng_, 7), random_ids(rng_, 6)};
  }
};

TEST_P(SaeDeviceTest, CodesAndReconstructionsOfEveryKindAreTheCpus) {
  const at::Tensor x = random_tensor(rng_, {5, 24});
  for (const SaeKind kind : {SaeKind::kStandard,
                             SaeKind::kJumpRelu,
                             SaeKind::kTopK,
                             SaeKind::kSignedTopK,
                             SaeKind::kAbsTopK,
                             SaeKind::kGroupMax}) {
    for (const SaeNorm norm :
         {SaeNorm::kNone, SaeNorm::kConstantNormRescale, SaeNorm::kLayerNorm}) {
      SCOPED_TRACE(to_string(kind) + " " + to_string(norm));
      const Sae near = tiny_sae(kind, norm), far = near.to(device());
      EXPECT_EQ(far.device(), device());
      const at::Tensor here = x.to(device()), code = far.encode(here);
      EXPECT_EQ(code.device(), device());
      EXPECT_LT(relative_gap(code.cpu(), near.encode(x)), kDeviceGap);
      EXPECT_LT(relative_gap(far.error(here).cpu(), near.error(x)), kDeviceGap);
      EXPECT_LT(relative_gap(far.encode(here, {3, 7}).cpu(), near.encode(x, {3, 7})), kDeviceGap);
      const at::Tensor change = at::ones({5, 2});
      EXPECT_LT(relative_gap(far.decode_delta({3, 7}, change.to(device()), here).cpu(),
                             near.decode_delta({3, 7}, change, x)),
                kDeviceGap);
    }
  }
}

TEST_P(SaeDeviceTest, EvaluationAndSelfCheckAreTheCpus) {
  const Sae near = tiny_sae(SaeKind::kJumpRelu), far = near.to(device());
  const Transformer model = near_.to(device());
  const at::Tensor contexts = at::tensor(random_ids(rng_, 4 * 16), at::kLong).view({4, 16});
  const SaeEvaluation expected = evaluate_sae(near, near_, contexts, 2);
  const SaeEvaluation found = evaluate_sae(far, model, contexts, 2);
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_NEAR(found.fvu, expected.fvu, kDeviceGap * std::max(1.0, expected.fvu));
  EXPECT_NEAR(found.ce_clean, expected.ce_clean, kDeviceGap * expected.ce_clean);
  EXPECT_NEAR(found.ce_spliced, expected.ce_spliced, kDeviceGap * expected.ce_spliced);
  EXPECT_NEAR(found.ce_mean, expected.ce_mean, kDeviceGap * expected.ce_mean);
  EXPECT_EQ(found.firing_histogram, expected.firing_histogram);
  const TokenBatch batch = batch_of_contexts(contexts);
  EXPECT_NEAR(self_check(far, model, batch).l0, self_check(near, near_, batch).l0, 0.1);
}

TEST_P(SaeDeviceTest, HarvestedActivationsReachTheFile) {
  const TokenBatch batch =
      batch_of_contexts(at::tensor(random_ids(rng_, 2 * 12), at::kLong).view({2, 12}));
  const Site site{2, SiteKind::kResidPre};
  const auto harvest = [&](const Transformer& model, const char* name) {
    const at::Tensor x = activations_at(model, site, batch).counted();
    EXPECT_EQ(x.device(), model.device());
    const auto path = fresh_folder("device_harvest") / name;
    ActivationWriter writer(path, 24, 0);
    writer.append(x);
    writer.flush();
    return ActivationBuffer(path, 24, writer.rows()).first(writer.rows());
  };
  // Stored as bfloat16: 2^-8 of a value.
  EXPECT_LT(relative_gap(harvest(near_.to(device()), "far"), harvest(near_, "near")), 1e-2);
}

TEST_P(SaeDeviceTest, ProbesReadTheSameFeaturesFromTheCache) {
  const auto ids = texts();
  const Sae sae = tiny_sae(SaeKind::kJumpRelu);
  const auto pooled = [&](const Transformer& model) {
    ActivationCache cache(static_cast<int64_t>(ids.size()), 24);
    harvest_texts(model, {2, SiteKind::kResidPre}, ids, cache, {.batch_tokens = 16});
    EXPECT_TRUE(cache.tokens(0).is_cpu());
    const Sae here = sae.to(model.device());
    return pool_features(cache, parse_pooler("mean"), &here);
  };
  const PooledFeatures expected = pooled(near_), found = pooled(near_.to(device()));
  EXPECT_LT(relative_gap(found.residual, expected.residual), kDeviceGap);
  EXPECT_LT(relative_gap(found.code, expected.code), kDeviceGap);
  EXPECT_LT(relative_gap(found.error, expected.error), kDeviceGap);
}

TEST_P(SaeDeviceTest, AttributionStatisticsAndContrastsAreTheCpus) {
  const Sae near = tiny_sae(SaeKind::kJumpRelu), far = near.to(device());
  const Transformer model = near_.to(device());
  const ScoredPrompts prompts{TokenBatch::from(texts()),
                              at::tensor({1, 2, 3, 4}, at::kLong),
                              at::tensor({9, 8, 7, 6}, at::kLong)};
  EXPECT_LT(relative_gap(logit_differences(model, prompts, {}),
                         logit_differences(near_, prompts, {}).cpu()),
            kDeviceGap);
  const at::Tensor expected = attribute_features(near_, near, prompts);
  const at::Tensor found = attribute_features(model, far, prompts);
  EXPECT_LT(relative_gap(found.cpu(), expected), kDeviceGap);
  EXPECT_EQ(top_features(found, 3), top_features(expected, 3));
  const FeatureStatistics of_near = feature_statistics(near_, near, prompts.tokens);
  const FeatureStatistics of_far = feature_statistics(model, far, prompts.tokens);
  EXPECT_NEAR(of_far.sink_norm, of_near.sink_norm, kDeviceGap * of_near.sink_norm);
  EXPECT_EQ(matched_random_features(of_far.firing_rate, {1, 2}, 5),
            matched_random_features(of_near.firing_rate, {1, 2}, 5));
  const std::vector<AnsweredPrompt> answers = {{random_ids(rng_, 5), random_ids(rng_, 4)},
                                               {random_ids(rng_, 3), random_ids(rng_, 6)}};
  EXPECT_LT(relative_gap(answer_mean_code(model, far, answers, {}).cpu(),
                         answer_mean_code(near_, near, answers, {})),
            kDeviceGap);
  const Site site{1, SiteKind::kResidPost};
  EXPECT_LT(relative_gap(answer_means(model, {site}, answers, {}).at(site).cpu(),
                         answer_means(near_, {site}, answers, {}).at(site)),
            kDeviceGap);
}

INSTANTIATE_TEST_SUITE_P(Devices,
                         SaeDeviceTest,
                         ::testing::Values(kStrictDevice, kGpu),
                         name_of_device);

}  // namespace
}  // namespace rebound
