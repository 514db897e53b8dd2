#include "rebound/sae/sae_lens_format.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder(const std::string& name) {
  return fs::path(REBOUND_SOURCE_DIR) / "tests" / "sae" / "golden" / name;
}

at::Tensor golden_tensor(const std::string& name, const char* tensor) {
  const SafetensorsFile file(golden_folder(name) / "golden.safetensors");
  const TensorView& view = file.get(tensor);
  at::Tensor out = at::empty(view.shape, at::kFloat);
  to_float32(view, out.data_ptr<float>());
  return out;
}

// A writable copy of a golden folder with changes to its cfg.json.
fs::path changed_copy(const std::string& golden, const std::string& name, const Json& changes) {
  const fs::path folder = fresh_folder("format-" + name);
  fs::copy(golden_folder(golden), folder, fs::copy_options::recursive);
  Json cfg = read_json_file(folder / "cfg.json");
  cfg.merge_patch(changes);
  write_file_atomically(folder / "cfg.json", cfg.dump());
  return folder;
}

template <class Kind>
std::string load_message(const fs::path& folder) {
  try {
    load_sae(folder);
  } catch (const Kind& e) {
    return e.what();
  }
  return "no error";
}

class SaeLensGolden : public testing::TestWithParam<const char*> {};

TEST_P(SaeLensGolden, CodesAndReconstructionEqualThoseOfSaeLens) {
  const std::string name = GetParam();
  const Sae sae = load_sae(golden_folder(name));
  const at::Tensor x = golden_tensor(name, "x"), f = golden_tensor(name, "f");
  // The fold of decoder norms changes the unit of codes in neither package.
  EXPECT_LT(relative_gap(sae.encode(x), f), 1e-5);
  EXPECT_LT(relative_gap(sae.decode(f, x), golden_tensor(name, "out")), 1e-5);
  EXPECT_GT((f > 0).sum().item<int64_t>(), 5);
}

TEST_P(SaeLensGolden, SurvivesWritingAndReading) {
  const Sae sae = load_sae(golden_folder(GetParam()));
  const fs::path folder = fresh_folder(std::string("roundtrip-") + GetParam());
  save_sae(sae, folder, SaveDType::kFloat32);
  const Sae again = load_sae(folder);
  const at::Tensor x = golden_tensor(GetParam(), "x");
  EXPECT_TRUE(at::equal(again.encode(x), sae.encode(x)));
  EXPECT_EQ(again.config().hook_name, "blocks.2.hook_resid_pre");
  EXPECT_EQ(again.config().model_name, "tiny");
  save_sae(sae, folder, SaveDType::kFloat16);
  EXPECT_LT(relative_gap(load_sae(folder).pre_activations(x), sae.pre_activations(x)), 5e-3);
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         SaeLensGolden,
                         testing::Values("standard",
                                         "standard_no_b_dec",
                                         "standard_constant_norm",
                                         "jumprelu",
                                         "jumprelu_layer_norm",
                                         "jumprelu_average",
                                         "topk",
                                         "topk_rescale",
                                         "gated"));

TEST(SaeLensFormatTest, FlatLayoutBeforeVersion6IsRead) {
  const fs::path folder = changed_copy("standard", "flat", Json::object());
  const Json cfg = {{"d_in", 12},
                    {"d_sae", 30},
                    {"hook_point", "blocks.3.hook_resid_post"},
                    {"model_name", "gpt2"},
                    {"activation_fn_str", "topk"},
                    {"activation_fn_kwargs", {{"k", 6}}},
                    {"normalize_activations", false},
                    {"l1_coefficient", 5}};
  write_file_atomically(folder / "cfg.json", cfg.dump());
  const Sae sae = load_sae(folder);
  EXPECT_EQ(sae.config().hook_name, "blocks.3.hook_resid_post");
  EXPECT_EQ(sae.config().model_name, "gpt2");
  EXPECT_EQ(sae.config().kind, SaeKind::kTopK);
  EXPECT_EQ(sae.config().k, 6);
}

// SAELens 5 says the architecture and keeps k with the activation.
TEST(SaeLensFormatTest, FlatTopKOfVersion5HasItsKInTheArguments) {
  const Json topk = {{"architecture", "topk"},
                     {"activation_fn_str", "topk"},
                     {"activation_fn_kwargs", {{"k", 7}}},
                     {"k", nullptr},
                     {"metadata", nullptr}};
  const Sae sae = load_sae(changed_copy("topk", "topk5", topk));
  EXPECT_EQ(sae.config().kind, SaeKind::kTopK);
  EXPECT_EQ(sae.config().k, 7);
  Json gated = topk;
  gated["architecture"] = "gated";
  EXPECT_NE(load_message<DataError>(changed_copy("gated", "gated5", gated))
                .find("activation_fn: got \"topk\" for architecture gated"),
            std::string::npos);
}

TEST(SaeLensFormatTest, WhatIsNotImplementedIsRefusedByName) {
  for (const char* architecture :
       {"matching_pursuit", "temporal", "phase_multiplexed", "crosscoder"}) {
    const auto folder = changed_copy("standard", "refused", {{"architecture", architecture}});
    EXPECT_NE(load_message<DataError>(folder).find(architecture), std::string::npos);
  }
  const auto folder =
      changed_copy("standard", "refused", {{"normalize_activations", "covariance_whitening"}});
  EXPECT_NE(load_message<DataError>(folder).find("covariance_whitening"), std::string::npos);
}

TEST(SaeLensFormatTest, AverageNormWithoutItsFactorIsRefused) {
  const auto folder = changed_copy(
      "standard", "no-factor", {{"normalize_activations", "expected_average_only_in"}});
  EXPECT_NE(load_message<DataError>(folder).find("norm_scaling_factor"), std::string::npos);
  const Sae folded = load_sae(folder, {.norm_scaling_factor = 2.0});
  const Sae plain = load_sae(golden_folder("standard"));
  EXPECT_TRUE(at::allclose(folded.weights().W_enc, plain.weights().W_enc * 2));
  EXPECT_TRUE(at::allclose(folded.weights().b_dec, plain.weights().b_dec / 2));
}

TEST(SaeLensFormatTest, ShapesAreCheckedAgainstTheConfig) {
  EXPECT_NE(
      load_message<DataError>(changed_copy("standard", "width", {{"d_in", 13}})).find("W_enc"),
      std::string::npos);
  EXPECT_NE(
      load_message<DataError>(changed_copy("standard", "huge", {{"d_sae", 1'000'000'000'000}}))
          .find("d_sae"),
      std::string::npos);
  EXPECT_NE(load_message<DataError>(changed_copy("topk", "k", {{"k", 31}})).find("k must be"),
            std::string::npos);
  EXPECT_NE(
      load_message<DataError>(changed_copy("standard", "jump", {{"architecture", "jumprelu"}}))
          .find("threshold"),
      std::string::npos);
}

TEST(SaeLensFormatTest, BrokenFilesAreDataErrorsAndMissingOnesIoErrors) {
  const auto folder = changed_copy("standard", "broken", Json::object());
  write_file_atomically(folder / "cfg.json", "{\"d_in\": 12,");
  EXPECT_NE(load_message<DataError>(folder), "no error");
  write_file_atomically(folder / "cfg.json", "[1]");
  EXPECT_NE(load_message<DataError>(folder), "no error");
  fs::remove(folder / "cfg.json");
  EXPECT_NE(load_message<IoError>(folder), "no error");
  const auto cut = changed_copy("standard", "cut", Json::object());
  fs::resize_file(cut / "sae_weights.safetensors", 200);
  EXPECT_NE(load_message<DataError>(cut), "no error");
}

TEST(SaeLensFormatTest, NanWeightsAreADataError) {
  const auto folder = changed_copy("standard", "nan", Json::object());
  const auto path = folder / "sae_weights.safetensors";
  std::string bytes = read_text_file(path);
  const float nan = NAN;
  bytes.replace(bytes.size() - sizeof nan, sizeof nan, reinterpret_cast<const char*>(&nan), 4);
  write_file_atomically(path, bytes);
  EXPECT_NE(load_message<DataError>(folder).find("NaN"), std::string::npos);
}

TEST(SaeLensFormatTest, AnSaeOfAnotherWidthOrLayerDoesNotFit) {
  const ModelConfig model = tiny_config();
  const Sae good = tiny_sae(SaeKind::kJumpRelu);
  EXPECT_NO_THROW(check_fits(good, model));
  EXPECT_THROW(check_fits(tiny_sae(SaeKind::kJumpRelu, SaeNorm::kNone, 25), model), DataError);
  for (const char* hook : {"", "blocks.4.hook_resid_pre", "blocks.1.hook_mlp_out", "nonsense"}) {
    SaeConfig config = good.config();
    config.hook_name = hook;
    EXPECT_THROW(check_fits(Sae(config, good.weights()), model), DataError) << hook;
  }
}

}  // namespace
}  // namespace rebound
