#include <gtest/gtest.h>

#include <set>

#include "rebound/sae/convert.h"
#include "sae/format_fixture.h"

namespace rebound {
namespace {

class SaeFormat : public testing::TestWithParam<std::string> {
 protected:
  const FormatCase golden{GetParam()};
};

std::string text_or_empty(const Json& value) {
  return value.is_null() ? "" : value.get<std::string>();
}

TEST_P(SaeFormat, IsDetectedAndDescribed) {
  const std::string format = golden.expected.at("format");
  EXPECT_EQ(detect_sae_formats(golden.path()), std::vector<std::string>{format});
  const Sae sae = golden.load();
  const SaeConfig& config = sae.config();
  EXPECT_EQ(config.format, format);
  EXPECT_EQ(config.architecture, golden.expected.at("architecture").get<std::string>());
  EXPECT_EQ(config.hook_name, text_or_empty(golden.expected.at("hook")));
  EXPECT_EQ(config.hf_module, text_or_empty(golden.expected.at("hf_module")));
  std::set<std::string> folds;
  for (const SaeFold& fold : config.folds) folds.insert(fold.name);
  for (const Json& fold : golden.expected.at("folds")) {
    EXPECT_EQ(folds.count(fold.get<std::string>()), 1u) << fold << " in " << to_json(config.folds);
  }
  EXPECT_EQ(folds.count("error_term"), 1u);
  EXPECT_EQ(folds.count("input_bias"), 1u);
}

TEST_P(SaeFormat, CodesAndReconstructionEqualThoseOfItsLibrary) {
  const Sae sae = golden.load();
  const at::Tensor x = golden.golden("x"), z = golden.golden("z");
  ASSERT_EQ(sae.encode(x).sizes(), z.sizes());
  EXPECT_LT(relative_gap(sae.encode(x), z), 1e-5);
  EXPECT_TRUE(at::equal(sae.encode(x) != 0, z != 0));
  EXPECT_LT(relative_gap(sae.decode(z, x), golden.golden("x_hat")), 1e-5);
}

// What a layout cannot hold is refused; the rest comes back equal.
TEST_P(SaeFormat, SurvivesConversionOrIsRefused) {
  const Sae sae = golden.load();
  const at::Tensor x = golden.golden("x");
  const at::Tensor z = sae.encode(x), x_hat = sae.decode(z, x);
  const SaeKind kind = sae.config().kind;
  const bool competes = kind == SaeKind::kTopK || kind == SaeKind::kGroupMax;
  const bool has_skip = sae.weights().W_skip.defined();
  const bool fits_saelens = kind != SaeKind::kSignedTopK && kind != SaeKind::kGroupMax &&
                            (!has_skip || sae.is_transcoder()) &&
                            (!sae.is_transcoder() || sae.is_pointwise());
  const std::vector<std::pair<const char*, bool>> targets = {
      {"saelens", fits_saelens},
      {"sparsify", competes && sae.d_in() == sae.d_out()},
      {"gemma-scope", sae.is_pointwise()}};
  for (const auto& [target, fits] : targets) {
    const auto folder = fresh_folder(GetParam() + "-" + target);
    if (!fits) {
      EXPECT_THROW(convert_sae(sae, target, folder), DataError) << target;
      continue;
    }
    convert_sae(sae, target, folder);
    const Sae again = load_sae(folder, {.hook_out = sae.config().hook_name_out});
    EXPECT_LT(relative_gap(again.encode(x), z), 1e-6) << target;
    EXPECT_LT(relative_gap(again.decode(z, x), x_hat), 1e-6) << target;
    EXPECT_EQ(again.is_transcoder(), sae.is_transcoder()) << target;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, SaeFormat, testing::ValuesIn(format_cases()), [](const auto& info) {
  return info.param;
});

TEST(SaeFormatsTest, EveryFormatHasACase) {
  std::set<std::string> seen;
  for (const std::string& name : format_cases()) {
    seen.insert(FormatCase(name).expected.at("format").get<std::string>());
  }
  for (const std::string& format : sae_format_names()) EXPECT_EQ(seen.count(format), 1u) << format;
}

TEST(SaeFormatsTest, ConvertNamesItsTargets) {
  const Sae sae = tiny_sae(SaeKind::kTopK);
  EXPECT_NE(message_of<ConfigError>([&] { convert_sae(sae, "gguf", "x"); }).find("sparsify"),
            std::string::npos);
  EXPECT_NE(message_of<DataError>([&] {
              convert_sae(tiny_sae(SaeKind::kTopK, SaeNorm::kLayerNorm), "sparsify", "x");
            }).find("layer_norm"),
            std::string::npos);
}

// Without its centred model an SAE's codes are wrong: only a layout that can say so may hold it.
TEST(SaeFormatsTest, ACentredModelIsKeptOrTheLayoutRefused) {
  SaeConfig config = tiny_sae(SaeKind::kJumpRelu).config();
  config.model_name = "gpt2-small";
  config.metadata["transformer_lens_processing"] = true;
  const Sae sae(config, tiny_sae(SaeKind::kJumpRelu).weights());
  const auto folder = fresh_folder("centred");
  convert_sae(sae, "saelens", folder);
  const Json metadata = read_json_file(folder / "cfg.json").at("metadata");
  EXPECT_EQ(metadata.at("model_from_pretrained_kwargs"), (Json{{"center_writing_weights", true}}));
  EXPECT_NE(message_of<DataError>([&] { convert_sae(sae, "gemma-scope", folder); }).find("centred"),
            std::string::npos);
  SaeConfig topk = config;
  topk.kind = SaeKind::kTopK;
  EXPECT_NE(message_of<DataError>([&] {
              convert_sae(Sae(topk, tiny_sae(SaeKind::kTopK).weights()), "sparsify", folder);
            }).find("centred"),
            std::string::npos);
}

// sparsify subtracts b_dec from its input and Gemma Scope never does: b_enc makes up for it.
TEST(SaeFormatsTest, InputBiasIsMovedIntoTheEncoderBias) {
  Rng rng({4});
  const at::Tensor x = random_tensor(rng, {6, 24}, 2.0);
  for (const auto& [kind, target] : {std::pair(SaeKind::kTopK, "sparsify"),
                                     std::pair(SaeKind::kJumpRelu, "gemma-scope"),
                                     std::pair(SaeKind::kStandard, "gemma-scope")}) {
    for (const bool subtracts : {true, false}) {
      SaeConfig config = tiny_sae(kind).config();
      config.apply_b_dec_to_input = subtracts;
      const Sae sae(config, tiny_sae(kind).weights());
      const auto folder = fresh_folder(concat(target, subtracts));
      convert_sae(sae, target, folder);
      const Sae again = load_sae(folder);
      EXPECT_LT(relative_gap(again.encode(x), sae.encode(x)), 1e-6) << target;
      EXPECT_LT(relative_gap(again.decode(again.encode(x)), sae.decode(sae.encode(x))), 1e-6);
    }
  }
}

}  // namespace
}  // namespace rebound
