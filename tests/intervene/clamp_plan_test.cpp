#include "rebound/intervene/clamp_plan.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "intervene_fixture.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/direction_clamp.h"
#include "support/failures.h"

namespace rebound {
namespace {

std::shared_ptr<const Clamp> direction_at(const Site& site, int64_t width = 24) {
  return std::make_shared<const DirectionClamp>(
      site, at::ones({width}), DirectionClamp::Options{.strength = 1, .positions = {}, .sink_norm = 1e9});
}

std::shared_ptr<const Clamp> features_at_layer_2() {
  return std::make_shared<const Defence>(
      random_sae(), std::vector<FeatureEdit>{{.features = {1, 5}, .kind = EditKind::kSet, .value = -2}}, 1e9);
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(ClampPlanTest, OrdersClampsAsAForwardPassReachesThem) {
  const ClampPlan plan({direction_at({3, SiteKind::kResidPre}), features_at_layer_2(),
                        direction_at({0, SiteKind::kResidPost})},
                       tiny_config());
  ASSERT_EQ(plan.size(), 3u);
  EXPECT_EQ(to_string(plan.clamps()[0]->site()), "blocks.0.hook_resid_post");
  EXPECT_EQ(to_string(plan.clamps()[1]->site()), "blocks.2.hook_resid_pre");
  EXPECT_EQ(to_string(plan.clamps()[2]->site()), "blocks.3.hook_resid_pre");
  EXPECT_EQ(plan.to_json().size(), 3u);
}

TEST(ClampPlanTest, HooksRunEveryClampLive) {
  const Transformer model = tiny_transformer();
  const ClampPlan plan({direction_at({1, SiteKind::kResidPre}), direction_at({3, SiteKind::kResidPre})}, model.config());
  Hooks hooks = plan.hooks();
  hooks.capture = {{1, SiteKind::kResidPre}, {3, SiteKind::kResidPre}};
  const TokenBatch prompts = random_prompts();
  const RunOutput clamped = model.run(prompts, {.hooks = hooks});
  // By hand: the first clamp alone, then the second on what reaches it.
  Hooks first;
  first.edits[{1, SiteKind::kResidPre}] = plan.hooks().edits.at({1, SiteKind::kResidPre});
  first.capture = {{3, SiteKind::kResidPre}};
  const at::Tensor reached = model.run(prompts, {.hooks = first}).activations.at({3, SiteKind::kResidPre});
  const at::Tensor expected = plan.clamps()[1]->apply(reached, prompts.rows());
  EXPECT_LT((clamped.activations.at({3, SiteKind::kResidPre}) - expected).abs().max().item<double>(), 1e-5);
}

TEST(ClampPlanTest, TwoClampsAtOneSiteAreAConfigError) {
  const std::string twice = message_of<ConfigError>([] {
    ClampPlan({features_at_layer_2(), direction_at({2, SiteKind::kResidPre})}, tiny_config());
  });
  EXPECT_TRUE(mentions(twice, "two clamps at one site")) << twice;
  const std::string same_tensor = message_of<ConfigError>([] {
    ClampPlan({features_at_layer_2(), direction_at({1, SiteKind::kResidPost})}, tiny_config());
  });
  EXPECT_TRUE(mentions(same_tensor, "blocks.1.hook_resid_post")) << same_tensor;
}

TEST(ClampPlanTest, ALayerOrWidthOfAnotherModelIsAConfigError) {
  EXPECT_TRUE(mentions(message_of<ConfigError>([] { ClampPlan({direction_at({9, SiteKind::kResidPre})}, tiny_config()); }),
                       "expected a layer 0..3"));
  EXPECT_TRUE(mentions(message_of<ConfigError>([] {
                         ClampPlan({direction_at({1, SiteKind::kResidPre}, 32)}, tiny_config());
                       }),
                       "got width 32"));
  EXPECT_THROW(ClampPlan({}, tiny_config()), ConfigError);
}

TEST(ClampPlanTest, FeaturesCanHaveAValueEach) {
  const auto sae = random_sae();
  const FeatureEdit edit{.features = {5, 1}, .kind = EditKind::kAdd, .values = {2.0, -0.5}, .when = EditWhen::kAlways};
  const Defence defence(sae, {edit}, 1e9);
  const TokenBatch prompts = random_prompts();
  Rng rng({4});
  const at::Tensor value = random_tensor(rng, {3, 8, 24});
  const at::Tensor moved = (defence.apply(value, prompts.rows()) - value)[1][2];
  const at::Tensor rows = sae->decoder_rows({5, 1});
  EXPECT_LT((moved - (2.0 * rows[0] - 0.5 * rows[1])).abs().max().item<double>(), 1e-5);
  const FeatureEdit short_of_one{.features = {5, 1}, .values = {2.0}};
  EXPECT_TRUE(mentions(message_of<ConfigError>([&] { Defence(sae, {short_of_one}, 1); }), "got 1 values"));
}

}  // namespace
}  // namespace rebound
