#include "rebound/recover/cross_path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "cross_fixture.h"
#include "rebound/base/error.h"
#include "rebound/behaviour/toy.h"
#include "support/failures.h"

namespace rebound {
namespace {

constexpr size_t kClamped = 0, kOther = 1, kResidual = 2;

std::shared_ptr<const Sae> moved_to(const Sae& sae, const std::string& hook) {
  SaeConfig config = sae.config();
  config.hook_name = hook;
  return std::make_shared<const Sae>(config, sae.weights());
}

// Sites at layers 1 (a direction, with an SAE), 2 (features) and 3 (a direction, without one).
class CrossPathTest : public testing::Test {
 protected:
  CrossSplit split(Span span, const CrossPathOptions& options = {}) const {
    return split_cross(problem, delta, span, dictionaries, options);
  }
  at::Tensor at_site(const at::Tensor& x, int64_t site) const { return x.select(1, site); }
  const at::Tensor& basis(size_t site) const { return problem.sites()[site].encoder_basis; }

  CrossSetting setting;
  CrossProblem problem = setting.problem();
  at::Tensor delta = random_delta(problem, 3, 0.7);
  std::vector<SiteDictionary> dictionaries =
      site_dictionaries(*setting.plan, {moved_to(*cross_sae(), "blocks.1.hook_resid_pre")});
};

TEST_F(CrossPathTest, TheEffectivePerturbationReplayedIsTheAttackedRun) {
  const at::Tensor real = problem.is_real().unsqueeze(-1);
  for (const Span span : {Span::kNone, Span::kEncoder, Span::kEncoderDecoder}) {
    const CrossRun attacked = problem.run(delta, span);
    const CrossRun replayed = problem.run(at::stack(attacked.effective, 1), Span::kNone);
    EXPECT_LT(relative_gap(replayed.logits * real, attacked.logits * real), 1e-5);
    EXPECT_LT(relative_gap(replayed.score, attacked.score), 1e-5);
  }
}

TEST_F(CrossPathTest, PartsSumToTheEffectivePerturbation) {
  for (const Span span : {Span::kNone, Span::kEncoder}) {
    const PathSplit parts = split(span).split;
    EXPECT_LT(relative_gap(parts.parts[0] + parts.parts[1] + parts.parts[2], parts.whole), 1e-5);
    EXPECT_LT(relative_gap(parts.whole, at::stack(problem.run(delta, span).effective, 1)), 1e-6);
  }
}

TEST_F(CrossPathTest, AClampOnDirectionsOwnsWhatLiesAlongThem) {
  const PathSplit parts = split(Span::kNone).split;
  for (const int64_t site : {0, 2}) {
    const at::Tensor& q = basis(static_cast<size_t>(site));
    const at::Tensor e = at_site(parts.whole, site);
    const at::Tensor along = at::matmul(at::matmul(e, q), q.t());
    EXPECT_GT(along.norm().item<double>(), 0.1);
    EXPECT_LT(relative_gap(at_site(parts.parts[kClamped], site), along), 1e-5);
    EXPECT_LT(at::matmul(at_site(parts.parts[kOther], site), q).abs().max().item<double>(), 1e-5);
    EXPECT_LT(at::matmul(at_site(parts.parts[kResidual], site), q).abs().max().item<double>(),
              1e-5);
  }
  EXPECT_GT(at_site(parts.parts[kOther], 0).norm().item<double>(), 0.1);
  EXPECT_EQ(at_site(parts.parts[kOther], 2).abs().max().item<double>(), 0);  // no SAE there
}

TEST_F(CrossPathTest, AClampOnFeaturesOwnsTheChangesOfItsCodes) {
  const PathSplit parts = split(Span::kNone).split;
  const Sae& sae = *dictionaries[1].sae;
  const CrossRun run = problem.run(delta, Span::kNone);
  const at::Tensor dz = sae.encode(run.clamped[1] + run.effective[1]) - sae.encode(run.clamped[1]);
  at::Tensor clamped = at::zeros_like(run.clamped[1]), other = at::zeros_like(clamped);
  for (int64_t j = 0; j < sae.d_sae(); ++j) {
    const bool is_clamped = j == 3 || j == 8 || j == 21;
    (is_clamped ? clamped : other) += dz.select(-1, j).unsqueeze(-1) * sae.weights().W_dec[j];
  }
  EXPECT_GT(clamped.norm().item<double>(), 0.01);
  EXPECT_LT(relative_gap(at_site(parts.parts[kClamped], 1), clamped), 1e-5);
  EXPECT_LT(relative_gap(at_site(parts.parts[kOther], 1), other), 1e-5);
}

// Nothing comes before the first site. The second takes back what arrives there; the clamp of the
// third ablates its direction, so that nothing is left to take back.
TEST_F(CrossPathTest, UnderForwardProjectionTheClampedPartIsTheProjectionAtLaterSites) {
  const PathSplit parts = split(Span::kEncoder).split;
  EXPECT_LT(at_site(parts.parts[kClamped], 0).abs().max().item<double>(), 1e-5);
  EXPECT_GT(at_site(parts.parts[kClamped], 1).norm().item<double>(), 0.01);
  EXPECT_LT(at_site(parts.parts[kClamped], 2).abs().max().item<double>(), 1e-5);
}

TEST_F(CrossPathTest, ShapleyValuesShareOutTheGain) {
  const PathSplit parts = split(Span::kEncoder).split;
  const PathFigures figures = path_figures(parts, replay_scores(problem, path_variants(parts)));
  const at::Tensor score = problem.run(delta, Span::kEncoder).score,
                   none = problem.run(problem.zero_delta(), Span::kNone).score;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t row = static_cast<int64_t>(i);
    double total = 0;
    for (const PartFigures& part : figures.parts) total += part.shapley[i];
    EXPECT_NEAR(total, figures.full[i] - figures.none[i], 1e-9);
    EXPECT_NEAR(figures.full[i], score[row].item<double>(), 1e-4);
    EXPECT_NEAR(figures.none[i], none[row].item<double>(), 1e-4);
    EXPECT_NE(figures.parts[kOther].replay[i], figures.none[i]);
  }
}

TEST_F(CrossPathTest, AllOtherFeaturesTogetherAreTheOtherPart) {
  const CrossSplit all = split(Span::kEncoder, {.top_k = 1000}),
                   few = split(Span::kEncoder, {.top_k = 3});
  EXPECT_LT(relative_gap(all.split.top, all.split.parts[kOther]), 1e-5);
  ASSERT_EQ(few.top_features.size(), 3U);
  for (size_t i = 0; i < all.top_features.size(); ++i) {
    const SiteFeature& top = all.top_features[i];
    EXPECT_LT(top.site, 2U);
    const bool is_clamped =
        top.site == 1 && (top.feature == 3 || top.feature == 8 || top.feature == 21);
    EXPECT_FALSE(is_clamped) << top.feature;
    if (i >= 3) continue;
    EXPECT_EQ(few.top_features[i].site, top.site);
    EXPECT_EQ(few.top_features[i].feature, top.feature);
  }
}

TEST_F(CrossPathTest, ARandomDirectionHasTheNormAndBelongsToItsExample) {
  const at::Tensor batch = split(Span::kEncoder, {.seed = 4, .ids = {7, 8, 9}}).split.random;
  const PathSplit whole = split(Span::kEncoder).split;
  EXPECT_LT(relative_gap(batch.flatten(1).norm(2, -1), whole.whole.flatten(1).norm(2, -1)), 1e-5);
  EXPECT_EQ((batch * ~problem.is_real().unsqueeze(1).unsqueeze(-1)).abs().max().item<double>(), 0);
  const at::Tensor index = at::tensor({2}, at::kLong);
  const CrossSplit alone = split_cross(problem.select(index),
                                       delta.index_select(0, index),
                                       Span::kEncoder,
                                       dictionaries,
                                       {.seed = 4, .ids = {9}});
  EXPECT_LT(relative_gap(alone.split.random[0], batch[2]), 1e-5);
  EXPECT_GT(relative_gap(split(Span::kEncoder, {.seed = 5, .ids = {7, 8, 9}}).split.random, batch),
            0.1);
}

TEST_F(CrossPathTest, AnSaeThatNoClampTakesIsRefused) {
  EXPECT_EQ(dictionaries[1].clamped, (Sae::Features{3, 8, 21}));
  EXPECT_TRUE(dictionaries[0].clamped.empty());
  EXPECT_EQ(dictionaries[2].sae, nullptr);
  for (const char* hook : {"blocks.0.hook_resid_pre", "blocks.2.hook_resid_pre"}) {
    EXPECT_NE(message_of<ConfigError>([&] {
                site_dictionaries(*setting.plan, {moved_to(*cross_sae(), hook)});
              }).find(hook),
              std::string::npos);
  }
}

// A planted model whose blocks write nothing, clamped at layers 1 and 2, attacked under forward
// projection.
PathFigures path_of_toy(ToyKind kind,
                        bool has_direction_clamp,
                        std::vector<SiteFeature>* top = nullptr) {
  const Toy toy = make_toy(kind);
  const auto features = [&](const char* hook) {
    return std::make_shared<const Defence>(
        moved_to(toy.sae, hook),
        std::vector<FeatureEdit>{{.features = toy.features, .value = toy.clamp_value}},
        1e9);
  };
  std::vector<std::shared_ptr<const Clamp>> clamps = {features("blocks.1.hook_resid_pre")};
  if (has_direction_clamp) {
    clamps.push_back(std::make_shared<const DirectionClamp>(
        Site{2, SiteKind::kResidPre},
        at::eye(48)[47],
        DirectionClamp::Options{
            .edit = DirectionEdit::kAblate, .positions = {}, .sink_norm = 1e9}));
  } else {
    clamps.push_back(features("blocks.2.hook_resid_pre"));
  }
  const auto plan = std::make_shared<const ClampPlan>(clamps, toy.model.config());
  std::vector<TargetAnswer> answers;
  for (size_t i = 0; i < 8; ++i)
    answers.push_back({toy.prompts.test[i].ids, {toy.prompts.test[i].correct_id}});
  const CrossProblem problem = CrossProblem::record(toy.model, plan, answers, 1);
  const CrossRung& rung = cross_rung_of("forward_projection_decoder");
  const at::Tensor delta =
      solve_cross(problem, rung, {.budget = toy.budget, .max_steps = 40, .lr = 0.1}).delta;
  std::vector<std::shared_ptr<const Sae>> saes;
  if (has_direction_clamp) saes.push_back(moved_to(toy.sae, "blocks.2.hook_resid_pre"));
  const CrossSplit found =
      split_cross(problem, delta, rung.projected, site_dictionaries(*plan, saes), {.top_k = 6});
  if (top) *top = found.top_features;
  return path_figures(found.split, replay_scores(problem, path_variants(found.split)));
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The heads of unrelated tokens are random: some of the log-probability is outside the dictionary.
TEST(CrossPathToyTest, ARouteThroughFeaturesOfOneSiteIsOtherFeatures) {
  std::vector<SiteFeature> top;
  const PathFigures path = path_of_toy(ToyKind::kFeatureRouted, /*has_direction_clamp=*/true, &top);
  EXPECT_EQ(path.main_route(), Part::kOther);
  const double gain = mean_of(path.full) - mean_of(path.none);
  EXPECT_GT(gain, 0.3);
  EXPECT_GT(mean_of(path.parts[kOther].shapley), 0.5 * gain);
  EXPECT_GT(mean_of(path.parts[kOther].replay), mean_of(path.none) + 0.5 * gain);
  EXPECT_LT(mean_of(path.parts[kOther].knock_out), mean_of(path.none) + 0.5 * gain);
  const std::vector<int64_t> routes = make_toy(ToyKind::kFeatureRouted).route_features;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::count(routes.begin(), routes.end(), top[i].feature), 1) << top[i].feature;
  }
}

TEST(CrossPathToyTest, ALeakOutsideTheDictionaryIsTheResidual) {
  const PathFigures path = path_of_toy(ToyKind::kLeaky, /*has_direction_clamp=*/false);
  EXPECT_EQ(path.main_route(), Part::kResidual);
  const double gain = mean_of(path.full) - mean_of(path.none);
  EXPECT_GT(gain, 0.3);
  EXPECT_GT(mean_of(path.parts[kResidual].shapley), 0.8 * gain);
  EXPECT_GT(mean_of(path.parts[kResidual].norm_matched), mean_of(path.none) + 0.8 * gain);
  EXPECT_LT(mean_of(path.parts[kResidual].knock_out), mean_of(path.none) + 0.2 * gain);
}

}  // namespace
}  // namespace rebound
