#include "rebound/model/generate.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

// Greedy generation by running everything again for each token.
std::vector<int64_t> uncached(const Transformer& model,
                              std::vector<int64_t> ids,
                              int64_t count,
                              const Hooks& hooks) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor resid = model.run(TokenBatch::from({ids}), {.hooks = hooks}).resid[0][-1];
    tokens.push_back(model.logits(resid).argmax().item<int64_t>());
    ids.push_back(tokens.back());
  }
  return tokens;
}

TEST(GenerateTest, CachedEqualsUncachedWithEditsLive) {
  const Transformer model = tiny_transformer();
  Hooks hooks;
  const std::vector<int64_t> plain = generate(model, {1, 2, 3}, {.max_new_tokens = 20});
  EXPECT_EQ(plain, uncached(model, {1, 2, 3}, 20, {}));
  hooks.edits[{1, SiteKind::kResidPre}] = [](const at::Tensor& v, const Rows&) {
    return v * 1.5 + 0.3;
  };
  const std::vector<int64_t> edited = generate(model, {1, 2, 3}, {.max_new_tokens = 20}, hooks);
  EXPECT_EQ(edited, uncached(model, {1, 2, 3}, 20, hooks));
  EXPECT_NE(edited, plain);
}

TEST(GenerateTest, StopTokensEndTheText) {
  const Transformer model = tiny_transformer();
  const std::vector<int64_t> plain = generate(model, {1, 2, 3}, {.max_new_tokens = 10});
  const std::vector<int64_t> stopped =
      generate(model, {1, 2, 3}, {.max_new_tokens = 10, .stop_tokens = {plain[0]}});
  EXPECT_TRUE(stopped.empty());
}

TEST(GenerateTest, SamplingFollowsItsSeedAndTinyTopPIsGreedy) {
  const Transformer model = tiny_transformer();
  const GenerateOptions hot{.max_new_tokens = 12, .temperature = 3.0, .seed = 4};
  EXPECT_EQ(generate(model, {1, 2}, hot), generate(model, {1, 2}, hot));
  GenerateOptions other = hot;
  other.seed = 5;
  EXPECT_NE(generate(model, {1, 2}, other), generate(model, {1, 2}, hot));
  other.top_p = 1e-9;
  EXPECT_EQ(generate(model, {1, 2}, other), generate(model, {1, 2}, {.max_new_tokens = 12}));
}

TEST(GenerateTest, ImpossibleOptionsAreRefused) {
  const Transformer model = tiny_transformer();
  EXPECT_THROW(generate(model, {1}, {.temperature = -1}), ConfigError);
  EXPECT_THROW(generate(model, {1}, {.top_p = 0}), ConfigError);
}

}  // namespace
}  // namespace rebound
