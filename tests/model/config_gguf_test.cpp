#include "rebound/model/config_gguf.h"

#include <gtest/gtest.h>

#include "model/family_fixture.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"
#include "support/gguf_file.h"

namespace rebound {
namespace {

class GgufFamilyTest : public FamilyTest {
 protected:
  Transformer gguf_ = load_model((family_folder(GetParam()) / "model.gguf").string());

  // The folder's model without what the format cannot say.
  Transformer expected() const {
    ModelConfig config = model_.config();
    config.query_pre_attn_scalar = 0;
    config.rope_scaling.is_ramp_whole = true;
    if (config.model_type == "qwen3") config.layer_kinds.clear();
    return Transformer(config, model_.weights());
  }
};

TEST_P(GgufFamilyTest, TheFileGivesTheLogitsOfTheFolder) {
  const Transformer folder = expected();
  for (const Json& prompt : golden_.at("prompts")) {
    EXPECT_LT(relative_gap(last_logits(gguf_, ids_of(prompt)), last_logits(folder, ids_of(prompt))),
              1e-5);
  }
}

TEST_P(GgufFamilyTest, ItsWeightsAreThoseOfTheFolder) {
  for (size_t i = 0; i < model_.weights().layers.size(); ++i) {
    const LayerWeights& got = gguf_.weights().layers[i];
    const LayerWeights& want = model_.weights().layers[i];
    EXPECT_TRUE(at::equal(got.qkv, want.qkv)) << i;
    EXPECT_TRUE(at::equal(got.gate_up, want.gate_up)) << i;
    for (const auto& [a, b] : {std::pair{got.qkv_bias, want.qkv_bias},
                               std::pair{got.attn_norm, want.attn_norm},
                               std::pair{got.attn_out_norm, want.attn_out_norm},
                               std::pair{got.q_norm, want.q_norm}}) {
      ASSERT_EQ(a.defined(), b.defined());
      if (a.defined()) {
        EXPECT_LT(relative_gap(a, b), 1e-6) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families,
                         GgufFamilyTest,
                         ::testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

INSTANTIATE_TEST_SUITE_P(Variants,
                         GgufFamilyTest,
                         ::testing::ValuesIn(kVariants),
                         [](const auto& info) { return std::string(info.param); });

// The error of a family's GGUF file in which `from` is `to`, texts of one length.
std::string error_with(const std::string& family, const std::string& from, const std::string& to) {
  std::string bytes = read_text_file(family_folder(family) / "model.gguf");
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(from.size(), to.size());
  bytes.replace(at, from.size(), to);
  const auto path = fresh_folder("gguf") / "model.gguf";
  write_file_atomically(path, bytes);
  return message_of<DataError>([&] { load_model(path.string()); });
}

void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(ConfigGgufTest, AKeyThatIsNotKnownIsRefused) {
  expect_in(error_with("qwen2", "qwen2.rope.freq_base", "qwen2.rope.freq_bass"),
            "qwen2.rope.freq_bass");
}

TEST(ConfigGgufTest, AnArchitectureThatIsNotKnownIsNamed) {
  const std::string error = error_with("gemma2", "gemma2", "gemma9");
  expect_in(error, "\"gemma9\"");
  expect_in(error, "gemma3");
}

TEST(ConfigGgufTest, AKindOfRopeThatIsNotImplementedIsRefused) {
  expect_in(error_with("llama_linear", "linear", "quadra"), "quadra");
}

TEST(ConfigGgufTest, LongropeIsCutToTheTextsOfItsShortFactors) {
  const ModelConfig config = read_config((family_folder("phi3_longrope") / "model.gguf").string());
  EXPECT_EQ(config.max_position_embeddings, 48);
  EXPECT_EQ(config.rope_scaling.long_positions, 64);
  expect_in(error_with("phi3_longrope", "rope_factors_short", "rope_factors_shirt"), "shirt");
}

TEST(ConfigGgufTest, ATensorThatTheFamilyDoesNotUseIsRefused) {
  expect_in(error_with("gemma", "blk.2.attn_norm.weight", "blk.2.attn_nurm.weight"), "attn_norm");
  expect_in(error_with("llama", "rope_freqs.weight", "rope_frogs.weight"), "rope_frogs.weight");
}

// The error of a family's GGUF file with more keys; "" for none.
std::string error_with(const std::string& family, const GgufKeys& keys) {
  const auto path = fresh_folder("gguf") / "model.gguf";
  write_file_atomically(path,
                        keys.inserted_into(read_text_file(family_folder(family) / "model.gguf")));
  try {
    load_model(path.string());
    return "";
  } catch (const DataError& e) {
    return e.what();
  }
}

TEST(ConfigGgufTest, KeysOfAnotherFamilyAreRefused) {
  const auto key_of = [](const std::string& family, const std::string& key) {
    return error_with(family, GgufKeys().add(key, 2u));
  };
  expect_in(key_of("llama", "llama.attention.sliding_window_pattern"),
            "unknown metadata \"llama.attention.sliding_window_pattern\" for llama");
  expect_in(key_of("qwen2", "qwen2.attn_logit_softcapping"), "qwen2.attn_logit_softcapping");
  expect_in(key_of("phi3", "phi3.final_logit_softcapping"), "phi3.final_logit_softcapping");
  expect_in(key_of("gemma2", "gemma2.rope.freq_base_swa"), "gemma2.rope.freq_base_swa");
  expect_in(key_of("gemma3", "gemma3.attn_logit_softcapping"), "gemma3.attn_logit_softcapping");
  expect_in(key_of("smollm3", "smollm3.attention.sliding_window"), "expected none");
  EXPECT_EQ(key_of("gemma2", "gemma2.attention.sliding_window_pattern"), "");
  EXPECT_EQ(key_of("gemma3", "gemma3.rope.freq_base_swa"), "");
}

TEST(ConfigGgufTest, Olmo3IsToldFromOlmo2ByItsWindows) {
  const GgufKeys olmo3 = GgufKeys()
                             .add("olmo2.attention.sliding_window", 4096u)
                             .add("olmo2.attention.sliding_window_pattern",
                                  std::vector<bool>{true, true, true, false});
  expect_in(
      error_with("olmo2", olmo3),
      "olmo2.attention.sliding_window: got 4096, expected none: a file with windows is OLMo 3");
  EXPECT_EQ(error_with("olmo2", GgufKeys().add("olmo2.attention.sliding_window", 0u)), "");
}

TEST(ConfigGgufTest, BidirectionalAttentionIsRefused) {
  expect_in(error_with("llama", GgufKeys().add("llama.attention.causal", false)),
            "llama.attention.causal: got false, expected true");
  EXPECT_EQ(error_with("llama", GgufKeys().add("llama.attention.causal", true)), "");
}

}  // namespace
}  // namespace rebound
