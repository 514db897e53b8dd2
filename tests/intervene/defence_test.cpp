#include "rebound/intervene/defence.h"

#include <gtest/gtest.h>

#include "intervene/intervene_fixture.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr double kNoSinks = 1e9;

// Rows of one prompt that starts at position 1, so that position 0 is not among them.
Rows rows_after_the_first(int64_t n) {
  return {at::arange(1, n + 1).unsqueeze(0), at::ones({1, n}, at::kBool), at::full({1, 1}, n + 1)};
}

// The defended value of one token under the SAE of the fixture.
at::Tensor apply_by_hand(const std::vector<FeatureEdit>& edits, float x0, float x1) {
  const Defence defence(hand_sae(), edits, kNoSinks);
  return defence.apply(at::tensor({x0, x1}).view({1, 1, 2}), rows_after_the_first(1)).view({2});
}

TEST(DefenceTest, HandComputedEdits) {
  // f(3, 1) = (3, 1, 4)
  const FeatureEdit set{.features = {0}, .kind = EditKind::kSet, .value = -5};
  EXPECT_TRUE(apply_by_hand({set}, 3, 1).equal(at::tensor({-5.f, 1.f})));
  const FeatureEdit scale{.features = {2}, .kind = EditKind::kScale, .value = 2};
  EXPECT_TRUE(apply_by_hand({scale}, 3, 1).equal(at::tensor({5.f, 3.f})));
  const FeatureEdit add{.features = {0, 1}, .kind = EditKind::kAdd, .value = 1};
  EXPECT_TRUE(apply_by_hand({add}, 3, 1).equal(at::tensor({4.f, 3.f})));
}

TEST(DefenceTest, ActiveOnlySparesFeaturesThatAreOff) {
  // f(3, -1) = (3, 0, 2)
  FeatureEdit edit{.features = {1}, .kind = EditKind::kAdd, .value = 1};
  EXPECT_TRUE(apply_by_hand({edit}, 3, -1).equal(at::tensor({3.f, -1.f})));
  edit.when = EditWhen::kAlways;
  EXPECT_TRUE(apply_by_hand({edit}, 3, -1).equal(at::tensor({3.f, 1.f})));
}

TEST(DefenceTest, EditsOfOneFeatureApplyInOrder) {
  const FeatureEdit set{.features = {0}, .kind = EditKind::kSet, .value = 2};
  const FeatureEdit scale{.features = {0}, .kind = EditKind::kScale, .value = 3};
  // 3 -> 2 -> 6 and 3 -> 9 -> 2
  EXPECT_TRUE(apply_by_hand({set, scale}, 3, 1).equal(at::tensor({6.f, 1.f})));
  EXPECT_TRUE(apply_by_hand({scale, set}, 3, 1).equal(at::tensor({2.f, 1.f})));
}

TEST(DefenceTest, GradientIsTheIdentityPlusTheEditsRankOneTerm) {
  // h + (m - 1) a_2 d_2^T h with m = 3: column sums of I + 2 (1, 1)^T (1/2, 1/2)
  const Defence defence(
      hand_sae(), {{.features = {2}, .kind = EditKind::kScale, .value = 3}}, kNoSinks);
  const at::Tensor h = at::tensor({3.f, 1.f}).view({1, 1, 2}).requires_grad_(true);
  const at::Tensor out = defence.apply(h, rows_after_the_first(1));
  const at::Tensor slope = torch::autograd::grad({out.sum()}, {h})[0];
  EXPECT_TRUE(slope.view({2}).equal(at::tensor({3.f, 3.f}))) << slope;
}

struct LawCase {
  SaeKind kind;
  SaeNorm norm;
  FeatureEdit edit;
};

class DefenceLawTest : public ::testing::TestWithParam<LawCase> {
 protected:
  at::Tensor random_values() const {
    Rng rng({3});
    return random_tensor(rng, {2, 6, 24}, 2);
  }
  Rows rows() const {
    const Rows one = rows_after_the_first(6);
    return {one.position.expand({2, 6}), one.is_real.expand({2, 6}), one.length.expand({2, 1})};
  }
  std::shared_ptr<const Sae> sae_ = random_sae(GetParam().kind, GetParam().norm);
};

// h_def = decode(edit(f)) + (h - decode(f)), with full codes.
TEST_P(DefenceLawTest, KeepsTheErrorTerm) {
  const at::Tensor h = random_values(), f = sae_->encode(h);
  const FeatureEdit& edit = GetParam().edit;
  at::Tensor edited = f.clone();
  for (const int64_t j : edit.features) {
    edited.select(-1, j).copy_(edit.apply(f.select(-1, j)));
  }
  const at::Tensor expected = sae_->decode(edited, h) + (h - sae_->decode(f, h));
  const at::Tensor got = Defence(sae_, {edit}, kNoSinks).apply(h, rows());
  EXPECT_LT(relative_gap(got, expected), 1e-6);
  EXPECT_GT(relative_gap(got, h), 1e-2);  // the edit does something
}

TEST_P(DefenceLawTest, AnEditThatChangesNoCodeChangesNothing) {
  const at::Tensor h = random_values();
  FeatureEdit edit = GetParam().edit;
  edit.kind = EditKind::kScale;
  edit.value = 1;
  EXPECT_TRUE(Defence(sae_, {edit}, kNoSinks).apply(h, rows()).equal(h));
}

const FeatureEdit kClamp{.features = {3, 8, 21, 30}, .kind = EditKind::kSet, .value = -3};
const FeatureEdit kAmplify{.features = {8, 3, 17}, .kind = EditKind::kScale, .value = 4};
const FeatureEdit kShift{
    .features = {30, 2}, .kind = EditKind::kAdd, .value = 2, .when = EditWhen::kAlways};
INSTANTIATE_TEST_SUITE_P(
    SaesAndEdits,
    DefenceLawTest,
    ::testing::Values(LawCase{SaeKind::kJumpRelu, SaeNorm::kNone, kClamp},
                      LawCase{SaeKind::kJumpRelu, SaeNorm::kNone, kAmplify},
                      LawCase{SaeKind::kStandard, SaeNorm::kNone, kShift},
                      LawCase{SaeKind::kTopK, SaeNorm::kNone, kClamp},
                      LawCase{SaeKind::kJumpRelu, SaeNorm::kLayerNorm, kClamp},
                      LawCase{SaeKind::kStandard, SaeNorm::kConstantNormRescale, kShift}));

const FeatureEdit kEverywhere{
    .features = {0, 2}, .kind = EditKind::kAdd, .value = 10, .when = EditWhen::kAlways};

// Which positions of a batch the defence changes. [batch, pos]
at::Tensor changed(const Defence& defence, const at::Tensor& h, const Rows& rows) {
  return (defence.apply(h, rows) != h).any(-1);
}

TEST(DefenceTest, PositionZeroSinksAndPaddingAreNeverEdited) {
  const Rows rows = TokenBatch::from({{1, 2, 3}, {1, 2, 3, 4}}).rows();
  at::Tensor h = at::ones({2, 4, 2});
  h[1][2] = at::tensor({30.f, 40.f});
  const Defence defence(hand_sae(), {kEverywhere}, /*sink_norm=*/49.9);
  const at::Tensor expected =
      at::tensor({0, 1, 1, 0, 0, 1, 0, 1}, at::kLong).view({2, 4}).to(at::kBool);
  EXPECT_TRUE(changed(defence, h, rows).equal(expected)) << changed(defence, h, rows);
  const Defence wide(hand_sae(), {kEverywhere}, /*sink_norm=*/50.1);
  EXPECT_TRUE(changed(wide, h, rows)[1][2].item<bool>());
}

TEST(DefenceTest, EachEditHasItsOwnPositions) {
  const Rows rows = TokenBatch::from({{1, 2, 3}, {1, 2, 3, 4}}).rows();
  FeatureEdit at_answer = kEverywhere, at_one = kEverywhere;
  at_answer.positions = {PositionSet::Kind::kAnswer, {}};
  at_one.positions = {PositionSet::Kind::kList, {1}};
  at_one.value = 20;
  const Defence defence(hand_sae(), {at_answer, at_one}, kNoSinks);
  const at::Tensor shift = (defence.apply(at::ones({2, 4, 2}), rows) - 1).select(-1, 0);
  const at::Tensor expected = at::tensor({0., 30., 15., 0., 0., 30., 0., 15.}).view({2, 4});
  EXPECT_TRUE(shift.equal(expected)) << shift;
}

TEST(DefenceTest, HooksEditTheRunAtItsSiteAlone) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = random_prompts();
  const Defence defence(random_sae(), {kClamp}, kNoSinks);
  const Site site{2, SiteKind::kResidPre};
  EXPECT_EQ(defence.site(), site);
  RunOptions capture;
  capture.hooks.capture = {site};
  const at::Tensor h = model.run(batch, capture).activations.at(site);
  const at::Tensor h_def = defence.apply(h, batch.rows());
  Hooks replace;
  replace.edits[site] = [&](const at::Tensor&, const Rows&) { return h_def; };
  const at::Tensor expected = model.run(batch, {.hooks = replace}).resid;
  EXPECT_TRUE(model.run(batch, {.hooks = defence.hooks()}).resid.equal(expected));
  EXPECT_GT(relative_gap(expected, model.run(batch).resid), 1e-3);
}

TEST(DefenceTest, FeaturesAreTheUnionInAscendingOrder) {
  const Defence defence(random_sae(), {kClamp, kAmplify}, kNoSinks);
  EXPECT_EQ(defence.features(), (Sae::Features{3, 8, 17, 21, 30}));
}

TEST(DefenceTest, ImpossibleEditsAreRefused) {
  EXPECT_THROW(Defence(hand_sae(), {}, kNoSinks), ConfigError);
  EXPECT_THROW(Defence(hand_sae(), {{.features = {}}}, kNoSinks), ConfigError);
  EXPECT_THROW(Defence(hand_sae(), {{.features = {3}}}, kNoSinks), ConfigError);
  EXPECT_THROW(Defence(hand_sae(), {{.features = {-1}}}, kNoSinks), ConfigError);
}

TEST(DefenceTest, SinkNormIsTenMediansOfRealTokensPastTheFirst) {
  // Norms 7 1 2 3 | 9 4 (5) (5): position 0 and padding do not count; 1 2 3 4 has lower median 2.
  const Rows rows = TokenBatch::from({{1, 2, 3, 4}, {1, 2}}).rows();
  const at::Tensor norms = at::tensor({7., 1., 2., 3., 9., 4., 5., 5.}).view({2, 4, 1});
  EXPECT_FLOAT_EQ(sink_norm_of(norms, rows), 20);
  EXPECT_THROW(sink_norm_of(at::ones({1, 1, 2}), TokenBatch::from({{1}}).rows()), DataError);
}

}  // namespace
}  // namespace rebound
