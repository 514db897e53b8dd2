#include "rebound/sae/self_check.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

constexpr int64_t kWidth = 24;

// Exact up to `extra`: out = x + direction * ReLU(read . x - 4).
Sae identity_with(const at::Tensor& read, const at::Tensor& direction) {
  const at::Tensor eye = at::eye(kWidth);
  const int64_t more = read.size(1);
  return Sae({.d_in = kWidth, .d_sae = 2 * kWidth + more, .apply_b_dec_to_input = false},
             {.W_enc = at::cat({eye, -eye, read}, 1),
              .b_enc = at::cat({at::zeros({2 * kWidth}), at::full({more}, -4.0)}),
              .W_dec = at::cat({eye, -eye, direction}, 0),
              .b_dec = at::zeros({kWidth})});
}

TEST(SelfCheckTest, CentringIsNamedWhereItHelps) {
  Rng rng({3});
  const at::Tensor mean = at::full({kWidth, 1}, 1.0 / kWidth);
  const Sae sae = identity_with(mean, at::full({1, kWidth}, 10.0));
  const at::Tensor x = random_tensor(rng, {200, kWidth}) + 30;
  EXPECT_EQ(likely_cause_of_bad_fit(sae, x).substr(0, 9), "centring:");
}

TEST(SelfCheckTest, ScaleIsNamedWithTheFactorThatHelps) {
  Rng rng({3});
  const Sae sae = identity_with(at::eye(kWidth), at::eye(kWidth) * 10);
  const std::string cause = likely_cause_of_bad_fit(sae, random_tensor(rng, {200, kWidth}, 50.0));
  EXPECT_EQ(cause.substr(0, 6), "scale:") << cause;
  EXPECT_NE(cause.find("0.02"), std::string::npos) << cause;  // sqrt(d) / mean |x|, about 1 / 50
}

TEST(SelfCheckTest, SilentLatentsAndAnotherLayerAreNamed) {
  Rng rng({3});
  const at::Tensor x = random_tensor(rng, {200, kWidth});
  SaeConfig config = tiny_sae(SaeKind::kJumpRelu).config();
  SaeWeights weights = tiny_sae(SaeKind::kJumpRelu).weights();
  weights.threshold = at::full({40}, 1e6);
  weights.b_dec = at::full({kWidth}, 9.0);
  EXPECT_EQ(likely_cause_of_bad_fit(Sae(config, weights), x).substr(0, 18), "scale or threshold");
  weights.threshold = at::zeros({40});
  EXPECT_EQ(likely_cause_of_bad_fit(Sae(config, weights), x).substr(0, 13), "another layer");
}

TEST(SelfCheckTest, ABadFitIsRefusedWithItsCause) {
  SelfCheck check{.tokens = 5, .fvu = 1.5, .likely_cause = "centring: because"};
  const std::string message = message_of<DataError>([&] { require_good_fit(check); });
  EXPECT_NE(message.find("Likely cause: centring: because"), std::string::npos);
  EXPECT_NO_THROW(require_good_fit(check, true));
  check.fvu = NAN;
  EXPECT_THROW(require_good_fit(check), DataError);
  check.fvu = 0.2;
  EXPECT_NO_THROW(require_good_fit(check));
}

// What the SAE was trained with is in its metadata, what it is used with in the texts.
TEST(SelfCheckTest, TextsWithoutTheBosOfTrainingAreNamed) {
  const at::NoGradGuard no_grad;
  const Transformer model = tiny_transformer();
  const auto line = [&](bool trained_with_bos, const std::vector<std::vector<int64_t>>& texts) {
    SaeConfig config = tiny_sae(SaeKind::kJumpRelu).config();
    config.metadata["prepend_bos"] = trained_with_bos;
    const Sae sae(config, tiny_sae(SaeKind::kJumpRelu).weights());
    return self_check(sae, model, TokenBatch::from(texts)).summary();
  };
  const std::vector<std::vector<int64_t>> with = {{1, 5, 9, 3}, {1, 7, 2, 30}},
                                          without = {{5, 9, 3, 4}, {7, 2, 30, 8}};
  EXPECT_TRUE(line(true, with).ends_with("; trained with BOS")) << line(true, with);
  EXPECT_TRUE(line(true, without).ends_with("these texts begin without"));
  EXPECT_EQ(line(false, without).find("BOS"), std::string::npos);
}

// SAELens's word counts on models with LayerNorm; ours counts as it stands.
TEST(SelfCheckTest, ACentredModelIsLoadedWithProcessing) {
  const auto is_processed = [](const std::string& model, const Json& metadata) {
    SaeConfig config = tiny_sae(SaeKind::kJumpRelu).config();
    config.model_name = model;
    config.metadata = metadata;
    return load_options_of(Sae(config, tiny_sae(SaeKind::kJumpRelu).weights()))
        .has_transformer_lens_processing;
  };
  const auto kwargs = [](bool centred) {
    return Json{{"model_from_pretrained_kwargs", {{"center_writing_weights", centred}}}};
  };
  EXPECT_TRUE(is_processed("gpt2-small", kwargs(true)));
  EXPECT_FALSE(is_processed("gpt2-small", kwargs(false)));
  EXPECT_FALSE(is_processed("gemma-2b", kwargs(true)));
  EXPECT_FALSE(is_processed("gpt2-small", {{"model_from_pretrained_kwargs", nullptr}}));
  EXPECT_TRUE(is_processed("gemma-2b", {{"transformer_lens_processing", true}}));
}

TEST(SelfCheckTest, WhatAnSaeSaysAboutBosIsYesNoOrNothing) {
  const auto policy = [](const Json& metadata) {
    SaeConfig config = tiny_sae(SaeKind::kJumpRelu).config();
    config.metadata = metadata;
    return bos_policy_of(Sae(config, tiny_sae(SaeKind::kJumpRelu).weights()));
  };
  EXPECT_EQ(policy({{"prepend_bos", true}}), true);
  EXPECT_EQ(policy({{"prepend_bos", false}}), false);
  EXPECT_EQ(policy(Json::object()), std::nullopt);
  EXPECT_EQ(policy({{"prepend_bos", "yes"}}), std::nullopt);
}

}  // namespace
}  // namespace rebound
