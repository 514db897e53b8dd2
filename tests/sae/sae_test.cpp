#include "rebound/sae/sae.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

struct SaeCase {
  SaeKind kind;
  SaeNorm norm;
};

class SaeLaws : public testing::TestWithParam<SaeCase> {
 protected:
  const Sae sae = tiny_sae(GetParam().kind, GetParam().norm);
  Rng rng{9};
  const at::Tensor x = random_tensor(rng, {2, 3, 24}, 2.0);
  const Sae::Features features = {7, 0, 31};
  at::Tensor columns(const at::Tensor& full) const {
    return full.index_select(-1, at::tensor(features, at::kLong));
  }
};

TEST_P(SaeLaws, SelectedColumnsEqualThoseOfTheFullCode) {
  EXPECT_LT(relative_gap(sae.pre_activations(x, features), columns(sae.pre_activations(x))), 1e-6);
  EXPECT_LT(relative_gap(sae.encode(x, features), columns(sae.encode(x))), 1e-6);
}

TEST_P(SaeLaws, ReconstructionPlusErrorIsTheInput) {
  EXPECT_LT(relative_gap(sae.decode(sae.encode(x), x) + sae.error(x), x), 1e-6);
}

TEST_P(SaeLaws, DecodeDeltaIsTheDifferenceOfTwoDecodes) {
  const at::Tensor f = sae.encode(x);
  const at::Tensor df = random_tensor(rng, {2, 3, 3});
  const at::Tensor changed = f.index_add(-1, at::tensor(features, at::kLong), df);
  const at::Tensor expected = sae.decode(changed, x) - sae.decode(f, x);
  EXPECT_LT(relative_gap(sae.decode_delta(features, df, x), expected), 1e-5);
}

TEST_P(SaeLaws, CodesAreNotNegativeUnlessSignedAndGradientsReachTheInputOnly) {
  at::Tensor input = x.clone().set_requires_grad(true);
  const at::Tensor f = sae.encode(input);
  const bool is_signed =
      GetParam().kind == SaeKind::kSignedTopK || GetParam().kind == SaeKind::kAbsTopK;
  EXPECT_TRUE(is_signed || f.min().item<float>() >= 0);
  sae.error(input).square().sum().backward();
  EXPECT_GT(input.grad().abs().max().item<float>(), 0);
  EXPECT_FALSE(sae.weights().W_enc.requires_grad());
}

TEST_P(SaeLaws, GradientEqualsCentralDifferences) {
  const at::Tensor direction = random_tensor(rng, {2, 3, 24});
  const at::Tensor wide = x.to(at::kFloat);
  at::Tensor input = wide.clone().set_requires_grad(true);
  const auto value = [&](const at::Tensor& at) { return sae.pre_activations(at).tanh().sum(); };
  value(input).backward();
  const double predicted = (input.grad() * direction).sum().item<double>();
  const double h = 1e-2;
  const double measured =
      (value(wide + h * direction) - value(wide - h * direction)).item<double>() / (2 * h);
  EXPECT_NEAR(predicted, measured, 1e-2 * std::max(1.0, std::abs(predicted)));
}

TEST_P(SaeLaws, DeltaOrthogonalToEncoderColumnsOnlyRescalesTheirPreActivations) {
  const at::Tensor columns_now = sae.encoder_columns(features);
  const at::Tensor basis = std::get<0>(at::linalg_qr(columns_now));
  at::Tensor delta = random_tensor(rng, {24});
  delta = delta - at::mv(basis, at::mv(basis.t(), delta));
  const at::Tensor index = at::tensor(features, at::kLong);
  const at::Tensor constant =
      sae.weights().b_enc.index_select(0, index) -
      at::matmul(sae.weights().b_dec, sae.weights().W_enc.index_select(1, index));
  const at::Tensor before = sae.pre_activations(x, features) - constant;
  const at::Tensor after = sae.pre_activations(x + delta, features) - constant;
  const at::Tensor ratio = after / before;  // the same for every feature of a token
  EXPECT_LT((ratio - ratio.mean(-1, true)).abs().max().item<double>(), 1e-2);
  const double bound = GetParam().norm == SaeNorm::kNone ? 1e-5 : 1e9;
  EXPECT_LT(relative_gap(after, before), bound);
}

INSTANTIATE_TEST_SUITE_P(EveryKindAndNorm,
                         SaeLaws,
                         testing::Values(SaeCase{SaeKind::kStandard, SaeNorm::kNone},
                                         SaeCase{SaeKind::kJumpRelu, SaeNorm::kNone},
                                         SaeCase{SaeKind::kTopK, SaeNorm::kNone},
                                         SaeCase{SaeKind::kSignedTopK, SaeNorm::kNone},
                                         SaeCase{SaeKind::kAbsTopK, SaeNorm::kLayerNorm},
                                         SaeCase{SaeKind::kGroupMax, SaeNorm::kNone},
                                         SaeCase{SaeKind::kJumpRelu, SaeNorm::kConstantNormRescale},
                                         SaeCase{SaeKind::kStandard, SaeNorm::kLayerNorm},
                                         SaeCase{SaeKind::kTopK, SaeNorm::kLayerNorm}));

Sae two_latents(SaeKind kind, double threshold) {
  SaeConfig config;
  config.kind = kind;
  config.d_in = 2;
  config.d_sae = 3;
  config.k = 1;
  return Sae(config,
             {.W_enc = at::tensor({1.f, 0.f, 1.f, 0.f, 1.f, 1.f}).view({2, 3}),
              .b_enc = at::tensor({0.f, 0.5f, -10.f}),
              .W_dec = at::tensor({1.f, 0.f, 0.f, 2.f, 1.f, 1.f}).view({3, 2}),
              .b_dec = at::tensor({1.f, 1.f}),
              .threshold = at::full({3}, threshold)});
}

TEST(SaeTest, HandComputedCodes) {
  const at::Tensor x = at::tensor({3.f, 2.f});  // x' = (2, 1); p = (2, 1.5, -7)
  const auto code = [&](SaeKind kind, double threshold) {
    return two_latents(kind, threshold).encode(x);
  };
  EXPECT_TRUE(at::allclose(code(SaeKind::kStandard, 9), at::tensor({2.f, 1.5f, 0.f})));
  EXPECT_TRUE(at::allclose(code(SaeKind::kJumpRelu, 1.75), at::tensor({2.f, 0.f, 0.f})));
  EXPECT_TRUE(at::allclose(code(SaeKind::kJumpRelu, 2.0), at::tensor({0.f, 0.f, 0.f})));
  EXPECT_TRUE(at::allclose(code(SaeKind::kJumpRelu, -9), at::tensor({2.f, 1.5f, 0.f})));
  EXPECT_TRUE(at::allclose(code(SaeKind::kTopK, 0), at::tensor({2.f, 0.f, 0.f})));
  EXPECT_TRUE(at::allclose(two_latents(SaeKind::kTopK, 0).decode(at::tensor({2.f, 0.f, 0.f})),
                           at::tensor({3.f, 1.f})));
}

TEST(SaeTest, OnlyTopKLetsLatentsCompete) {
  EXPECT_TRUE(two_latents(SaeKind::kJumpRelu, 0).is_pointwise());
  const Sae top_k = two_latents(SaeKind::kTopK, 0);
  EXPECT_FALSE(top_k.is_pointwise());
  // Latent 0 goes off although its own pre-activation stays: latent 1 grew.
  EXPECT_GT(top_k.encode(at::tensor({3.f, 2.f}), {0}).item<float>(), 0);
  EXPECT_EQ(top_k.encode(at::tensor({3.f, 4.f}), {0}).item<float>(), 0);
}

TEST(SaeTest, HandComputedCodesOfCompetingLatents) {
  const auto code = [](SaeKind kind, int64_t k) {
    SaeConfig config{.kind = kind, .d_in = 4, .d_sae = 4, .k = k, .apply_b_dec_to_input = false};
    const Sae sae(config,
                  {.W_enc = at::eye(4),
                   .b_enc = at::zeros({4}),
                   .W_dec = at::eye(4),
                   .b_dec = at::zeros({4})});
    return sae.encode(at::tensor({-3.f, -5.f, 1.f, 2.f}));
  };
  EXPECT_TRUE(at::equal(code(SaeKind::kTopK, 3), at::tensor({0.f, 0.f, 1.f, 2.f})));
  EXPECT_TRUE(at::equal(code(SaeKind::kSignedTopK, 3), at::tensor({-3.f, 0.f, 1.f, 2.f})));
  EXPECT_TRUE(at::equal(code(SaeKind::kAbsTopK, 2), at::tensor({-3.f, -5.f, 0.f, 0.f})));
  EXPECT_TRUE(at::equal(code(SaeKind::kGroupMax, 2), at::tensor({0.f, 0.f, 0.f, 2.f})));
  EXPECT_TRUE(at::equal(code(SaeKind::kGroupMax, 4), at::tensor({0.f, 0.f, 1.f, 2.f})));
  EXPECT_THROW(code(SaeKind::kGroupMax, 3), DataError);
}

TEST(SaeTest, TranscodersWriteAnotherWidthAndSkipsAddTheirInput) {
  SaeConfig config{.d_in = 2, .d_sae = 1, .apply_b_dec_to_input = false};
  SaeWeights weights{.W_enc = at::tensor({1.f, 0.f}).view({2, 1}),
                     .b_enc = at::zeros({1}),
                     .W_dec = at::tensor({1.f, 2.f, 3.f}).view({1, 3}),
                     .b_dec = at::tensor({0.f, 0.f, 1.f})};
  config.d_out = 3;
  EXPECT_THROW(Sae(config, weights), DataError);  // only a transcoder may
  config.is_transcoder = true;
  weights.W_skip = at::tensor({0.f, 1.f, 0.f, 0.f, 1.f, 0.f}).view({3, 2});
  const Sae sae(config, weights);
  const at::Tensor x = at::tensor({2.f, 5.f});  // x W_skip^T = (5, 0, 2)
  EXPECT_TRUE(at::equal(sae.decode(sae.encode(x), x), at::tensor({7.f, 4.f, 9.f})));
  config.apply_b_dec_to_input = true;
  EXPECT_THROW(Sae(config, weights), DataError);
}

TEST(SaeTest, BadWeightsAndFeaturesAreRefused) {
  const Sae good = two_latents(SaeKind::kStandard, 0);
  SaeWeights weights = good.weights();
  weights.b_dec = at::tensor({1.f, NAN});
  EXPECT_THROW(Sae(good.config(), weights), DataError);
  weights.b_dec = at::zeros({3});
  EXPECT_THROW(Sae(good.config(), weights), DataError);
  EXPECT_THROW(good.encode(at::zeros({2}), {3}), ConfigError);
  EXPECT_THROW(good.encode(at::zeros({2}), {-1}), ConfigError);
  EXPECT_THROW(good.encode(at::zeros({5})), DataError);
}

}  // namespace
}  // namespace rebound
