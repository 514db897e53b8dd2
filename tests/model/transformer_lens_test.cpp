#include "rebound/model/transformer_lens.h"

#include <gtest/gtest.h>

#include "model/family_fixture.h"

namespace rebound {
namespace {

at::Tensor centred(const at::Tensor& x) { return x - x.mean(-1, /*keepdim=*/true); }

class TransformerLensTest : public FamilyTest {
 protected:
  Transformer processed_ =
      load_model(family_folder(GetParam()).string(), {.has_transformer_lens_processing = true});
};

TEST_P(TransformerLensTest, LogitsChangeByAConstantAtMost) {
  const bool is_capped = model_.config().final_logit_softcapping > 0;
  for (const Json& prompt : golden_.at("prompts")) {
    const at::Tensor got = last_logits(processed_, ids_of(prompt));
    const at::Tensor raw = floats_of(prompt.at("logits"));
    EXPECT_LT(relative_gap(got, is_capped ? raw : centred(raw)), 1e-4);
  }
}

TEST_P(TransformerLensTest, ResidualsOfLayerNormModelsAreCentredOthersStay) {
  const auto ids = ids_of(golden_.at("sites"));
  const Activations raw = all_activations(model_, ids), got = all_activations(processed_, ids);
  const bool is_centred = model_.config().norm == NormKind::kLayer;
  for (const auto& [site, value] : raw) {
    if (!is_residual(site)) continue;
    EXPECT_LT(relative_gap(got.at(site), is_centred ? centred(value) : value), 1e-4)
        << to_string(site);
  }
  // What norms give before their gain, and where heads look, is the same whatever the processing.
  for (int64_t layer = 0; layer < n_layers(); ++layer) {
    for (const SiteKind kind :
         {SiteKind::kLn1Normalized, SiteKind::kLn2Normalized, SiteKind::kPattern}) {
      const Site site{layer, kind};
      if (raw.count(site)) {
        EXPECT_LT(relative_gap(got.at(site), raw.at(site)), 1e-4);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families,
                         TransformerLensTest,
                         ::testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

TEST(TransformerLensGoldenTest, Gpt2EqualsTheLibraryAtEverySite) {
  const at::NoGradGuard no_grad;
  const auto folder = family_folder("gpt2");
  const Transformer model = load_model(folder.string(), {.has_transformer_lens_processing = true});
  const Json golden = read_json_file(folder / "transformer_lens.json");
  for (const Json& prompt : golden.at("prompts")) {
    EXPECT_LT(relative_gap(last_logits(model, ids_of(prompt)), floats_of(prompt.at("logits"))),
              1e-4);
  }
  const Activations values = all_activations(model, ids_of(golden.at("sites")));
  size_t compared = 0;
  for (const auto& [site, value] : values) {
    const auto found = golden.at("sites").at("values").find(to_string(site));
    if (found == golden.at("sites").at("values").end()) continue;
    ++compared;
    // The library's learned positions carry no batch.
    if (site.kind != SiteKind::kPosEmbed) expect_site(value, *found, to_string(site));
  }
  EXPECT_GE(compared, 4u * 13u);
}

TEST(TransformerLensGoldenTest, ProcessingThenRoundingIsInThatOrder) {
  const at::NoGradGuard no_grad;
  const std::string path = family_folder("gpt2").string();
  const ModelLoadOptions options{.dtype = at::kBFloat16, .has_transformer_lens_processing = true};
  const Transformer rough = load_model(path, options);
  EXPECT_EQ(rough.precision(), "bfloat16");
  const Transformer exact = load_model(path, {.has_transformer_lens_processing = true});
  EXPECT_TRUE(
      at::equal(rough.weights().layers[0].qkv, exact.weights().layers[0].qkv.to(at::kBFloat16)));
}

}  // namespace
}  // namespace rebound
