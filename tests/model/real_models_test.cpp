// The two models at hand against `transformers`: tools/golden/make_gemma3_golden.py.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "model/family_fixture.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(REBOUND_SOURCE_DIR) / "tests/model/golden";

std::string gemma3_path() { return find_model("gemma-3-270m-q4_k_m.gguf"); }

class Gemma3Test : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!std::filesystem::exists(gemma3_path())) return;
    const at::NoGradGuard no_grad;
    model_ = new Transformer(load_model(gemma3_path()));
    golden_ = new Json(read_json_file(kGolden / "gemma3.json"));
  }
  static void TearDownTestSuite() {
    delete model_;
    delete golden_;
  }
  void SetUp() override {
    if (!model_) GTEST_SKIP() << "no gemma-3-270m-q4_k_m.gguf: run scripts/fetch_gemma3.sh";
  }
  const at::NoGradGuard no_grad_;
  static inline Transformer* model_ = nullptr;
  static inline Json* golden_ = nullptr;
};

TEST_F(Gemma3Test, LastPositionLogitsEqualTransformersOnTwentyPrompts) {
  ASSERT_EQ(sha256_of_file(gemma3_path()), golden_->at("model_sha256"));
  ASSERT_EQ(golden_->at("prompts").size(), 20u);
  double worst = 0;
  for (const Json& prompt : golden_->at("prompts")) {
    const at::Tensor logits = last_logits(*model_, ids_of(prompt));
    const at::Tensor top = logits.index_select(0, at::tensor(ids_of(prompt, "top_ids"), at::kLong));
    worst = std::max(worst, (top - floats_of(prompt.at("top_logits"))).abs().max().item<double>());
    EXPECT_NEAR(logits.mean().item<double>(), prompt.at("mean").get<double>(), 1e-3);
    EXPECT_NEAR(logits.std(/*unbiased=*/false).item<double>(), prompt.at("std").get<double>(), 1e-3);
  }
  RecordProperty("worst_logit_gap", std::to_string(worst));
  EXPECT_LT(worst, 1e-3);
}

// The prompt is longer than the window of the local layers.
TEST_F(Gemma3Test, EverySiteEqualsTransformers) {
  const Json& sites = golden_->at("sites");
  ASSERT_GT(static_cast<int64_t>(ids_of(sites).size()), model_->config().sliding_window);
  const Activations values = all_activations(*model_, ids_of(sites));
  EXPECT_EQ(values.size(), sites.at("values").size());
  for (const auto& [name, golden] : sites.at("values").items()) {
    const at::Tensor flat = values.at(parse_site(name)).contiguous().view(-1);
    const at::Tensor expected = floats_of(golden.at("at"));
    const int64_t n = expected.size(0);
    const at::Tensor index = at::div(at::arange(n, at::kLong) * flat.numel(), n, "trunc");
    const double norm = golden.at("norm").get<double>();
    EXPECT_NEAR(flat.norm().item<double>() / norm, 1.0, 1e-3) << name;
    const double scale = norm / std::sqrt(static_cast<double>(flat.numel()));
    EXPECT_LT((flat.index_select(0, index) - expected).abs().max().item<double>(),
              1e-3 * std::max(scale, expected.abs().max().item<double>()))
        << name;
  }
}

// Q4_K, Q5_0, Q6_K and Q8_0 blocks as they lie in the file.
TEST_F(Gemma3Test, WeightsAsStoredGiveTheLogitsOfDenseOnesInAThirdOfTheMemory) {
  const Transformer stored = load_model(gemma3_path(), {.keeps_stored = true});
  EXPECT_LT(3 * stored.weights().embed.bytes(), model_->weights().embed.bytes());
  const std::vector<int64_t> ids = ids_of(golden_->at("prompts").front());
  const at::Tensor a = last_logits(stored, ids), b = last_logits(*model_, ids);
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-3);
}

// Mean of -log p of every token but the first of each window.
double mean_nll(const Transformer& model, const Json& windows) {
  double sum = 0;
  for (const Json& window : windows) {
    const auto ids = window.get<std::vector<int64_t>>();
    const at::Tensor resid = model.run(TokenBatch::from({ids})).resid[0];
    const at::Tensor log_p = at::log_softmax(model.logits(resid).to(at::kDouble), -1);
    const at::Tensor next = at::tensor(ids, at::kLong).slice(0, 1).unsqueeze(1);
    sum -= log_p.slice(0, 0, -1).gather(1, next).mean().item<double>();
  }
  return sum / static_cast<double>(windows.size());
}

void expect_perplexity(const Transformer& model, const char* name) {
  const at::NoGradGuard no_grad;
  const Json golden = read_json_file(kGolden / "wikitext2.json").at(name);
  const double ratio = std::exp(mean_nll(model, golden.at("windows")) - golden.at("nll").get<double>());
  EXPECT_NEAR(ratio, 1.0, 1e-3) << name;
}

TEST_F(Gemma3Test, PerplexityOfWikitext2EqualsTransformers) { expect_perplexity(*model_, "gemma3"); }

TEST(SmolLm2Test, PerplexityOfWikitext2EqualsTransformers) {
  expect_perplexity(load_model(find_default_model()), "smollm2");
}

}  // namespace
}  // namespace rebound
