// Parity with Hugging Face: goldens made by tools/golden/make_model_golden.py.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/model/generate.h"
#include "rebound/model/transformer.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
const fs::path kGoldenFolder = fs::path(REBOUND_SOURCE_DIR) / "tests/model/golden";

at::Tensor floats(const Json& json) { return at::tensor(json.get<std::vector<float>>()); }

at::Tensor logits_of_ids(const Transformer& model, const std::vector<int64_t>& ids) {
  return model.logits(model.run(TokenBatch::from({ids})).resid[0][-1]);
}

class DefaultModelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const at::NoGradGuard no_grad;
    model_ = new Transformer(load_model(find_default_model()));
    golden_ = new Json(read_json_file(kGoldenFolder / "smollm2.json"));
  }
  static inline Transformer* model_ = nullptr;
  static inline Json* golden_ = nullptr;
};

TEST_F(DefaultModelTest, LastPositionLogitsEqualTransformersOnTwentyPrompts) {
  const at::NoGradGuard no_grad;
  ASSERT_EQ(sha256_of_file(find_default_model()), golden_->at("model_sha256"));
  const auto probe_ids = golden_->at("probe_ids").get<std::vector<int64_t>>();
  ASSERT_EQ(golden_->at("prompts").size(), 20u);
  double worst = 0;
  for (const Json& prompt : golden_->at("prompts")) {
    const at::Tensor logits = logits_of_ids(*model_, prompt.at("ids").get<std::vector<int64_t>>());
    const auto gap = [&](const char* ids_key, const char* values_key) {
      const auto ids = ids_key ? prompt.at(ids_key).get<std::vector<int64_t>>() : probe_ids;
      return (logits.index_select(0, at::tensor(ids, at::kLong)) - floats(prompt.at(values_key)))
          .abs()
          .max()
          .item<double>();
    };
    worst = std::max({worst, gap("top_ids", "top_logits"), gap(nullptr, "probe_logits")});
    EXPECT_NEAR(logits.mean().item<double>(), prompt.at("mean").get<double>(), 1e-4);
    EXPECT_NEAR(
        logits.std(/*unbiased=*/false).item<double>(), prompt.at("std").get<double>(), 1e-4);
  }
  RecordProperty("worst_logit_gap", std::to_string(worst));
  EXPECT_LT(worst, 2e-4);
}

TEST_F(DefaultModelTest, EverySiteEqualsTransformers) {
  const at::NoGradGuard no_grad;
  for (const Json& run : golden_->at("sites")) {
    RunOptions options;
    for (const auto& [name, golden] : run.at("values").items()) {
      options.hooks.capture.insert(parse_site(name));
    }
    const auto ids = run.at("ids").get<std::vector<int64_t>>();
    const RunOutput output = model_->run(TokenBatch::from({ids}), options);
    // The golden is older than attn.hook_result.
    EXPECT_EQ(run.at("values").size(), 2u + 17u * 30u);
    for (const auto& [name, golden] : run.at("values").items()) {
      const at::Tensor value = output.activations.at(parse_site(name)).contiguous().view(-1);
      const at::Tensor at_golden = floats(golden.at("at"));
      const int64_t n = at_golden.size(0);
      const at::Tensor index = at::div(at::arange(n, at::kLong) * value.numel(), n, "trunc");
      const double scale =
          golden.at("norm").get<double>() / std::sqrt(static_cast<double>(value.numel()));
      EXPECT_NEAR(value.norm().item<double>() / golden.at("norm").get<double>(), 1.0, 2e-4) << name;
      const double gap = (value.index_select(0, index) - at_golden).abs().max().item<double>();
      EXPECT_LT(gap, 2e-4 * std::max(scale, at_golden.abs().max().item<double>())) << name;
    }
  }
}

class TinyFolderTest : public ::testing::TestWithParam<const char*> {
 protected:
  fs::path folder_ = kGoldenFolder / GetParam();
  Json golden_ = read_json_file(folder_ / "golden.json");
};

TEST_P(TinyFolderTest, ShardedFolderGivesTheLogitsAndTextOfTransformers) {
  const at::NoGradGuard no_grad;
  const Transformer model = load_model(folder_.string());
  for (const Json& prompt : golden_.at("prompts")) {
    const at::Tensor logits = logits_of_ids(model, prompt.at("ids").get<std::vector<int64_t>>());
    EXPECT_LT(relative_gap(logits, floats(prompt.at("logits"))), 1e-5);
  }
  const Json& text = golden_.at("generate");
  const auto expected = text.at("new_ids").get<std::vector<int64_t>>();
  EXPECT_EQ(generate(model,
                     text.at("ids").get<std::vector<int64_t>>(),
                     {.max_new_tokens = static_cast<int64_t>(expected.size())}),
            expected);
}

INSTANTIATE_TEST_SUITE_P(TiedAndUntied,
                         TinyFolderTest,
                         ::testing::Values("tiny_llama_tied", "tiny_llama_untied"));

// As in transformers: a head in the file that is no copy of the embedding is the head, whatever
// tie_word_embeddings says (Mistral Small's wrapper is silent, which means true).
TEST(TiedHeadTest, AHeadOfItsOwnIsUsedInATiedModel) {
  const at::NoGradGuard no_grad;
  for (const fs::path& original :
       {kGoldenFolder / "tiny_llama_untied", kGoldenFolder / "families/mistral3_images"}) {
    const fs::path folder = fresh_folder("tied");
    fs::copy(original, folder, fs::copy_options::recursive);
    Json config = read_json_file(folder / "config.json");
    ASSERT_FALSE(config.at("tie_word_embeddings"));
    config.erase("tie_word_embeddings");
    if (!config.contains("text_config")) config["tie_word_embeddings"] = true;
    write_file_atomically(folder / "config.json", config.dump());
    EXPECT_TRUE(at::equal(logits_of_ids(load_model(folder.string()), {3, 1, 4}),
                          logits_of_ids(load_model(original.string()), {3, 1, 4})))
        << original;
  }
}

class BrokenModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("rebound_model_test_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::copy(kGoldenFolder / "tiny_llama_tied", folder_, fs::copy_options::recursive);
  }
  void TearDown() override { fs::remove_all(folder_); }
  template <class Kind>
  void expect_error(const std::string& part) {
    try {
      load_model(folder_.string());
      FAIL() << "expected an error about " << part;
    } catch (const Kind& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    }
  }
  fs::path folder_;
};

TEST_F(BrokenModelTest, MissingShardIsAnIoErrorWithItsName) {
  fs::remove(folder_ / "model-00002-of-00003.safetensors");
  expect_error<IoError>("model-00002-of-00003.safetensors");
}

TEST_F(BrokenModelTest, TruncatedShardIsADataError) {
  fs::resize_file(folder_ / "model-00001-of-00003.safetensors", 5000);
  expect_error<DataError>("model-00001-of-00003.safetensors");
}

TEST_F(BrokenModelTest, WeightsOfAnotherShapeNameTheTensor) {
  Json config = read_json_file(folder_ / "config.json");
  config["intermediate_size"] = 20;
  write_file_atomically(folder_ / "config.json", config.dump());
  expect_error<DataError>("mlp.gate_proj.weight");
}

TEST_F(BrokenModelTest, NanWeightsAreADataError) {
  std::fstream file(folder_ / "model-00003-of-00003.safetensors",
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-4, std::ios::end);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  file.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  file.close();
  expect_error<DataError>("NaN");
}

TEST_F(BrokenModelTest, AMissingPathIsAnIoError) {
  folder_ /= "not_there";
  expect_error<IoError>("not_there");
}

}  // namespace
}  // namespace rebound
