#include "rebound/model/decoder.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

using TokenLists = std::vector<std::vector<int64_t>>;

Transformer model_of_context(int64_t max_positions) {
  ModelConfig config = tiny_config();
  config.max_position_embeddings = max_positions;
  return tiny_transformer(1, config);
}

// Edits whose size depends on the position, one of them after the last layer.
Hooks position_hooks() {
  Hooks hooks;
  const auto edit = [](const at::Tensor& value, const Rows& rows) {
    return value + 0.3 * rows.position.unsqueeze(-1).sin();
  };
  hooks.edits[{1, SiteKind::kResidPre}] = edit;
  hooks.edits[{2, SiteKind::kResidMid}] = edit;
  hooks.edits[{3, SiteKind::kResidPost}] = edit;
  return hooks;
}

// [batch, d_vocab] at the last token of each, one full run per example.
at::Tensor full_logits(const Transformer& model, const TokenLists& texts, const Hooks& hooks) {
  std::vector<at::Tensor> logits;
  for (const auto& ids : texts) {
    const at::Tensor resid = model.run(TokenBatch::from({ids}), {.hooks = hooks}).resid;
    logits.push_back(model.logits(resid[0][-1]));
  }
  return at::stack(logits);
}

void append_random(Rng& rng, Decoder& decoder, TokenLists& texts) {
  const std::vector<int64_t> tokens = random_ids(rng, static_cast<int64_t>(texts.size()));
  for (size_t i = 0; i < texts.size(); ++i) texts[i].push_back(tokens[i]);
  decoder.step(at::tensor(tokens, at::kLong));
}

TokenLists prompts_of_three_lengths(Rng& rng) {
  return {random_ids(rng, 3), random_ids(rng, 11), random_ids(rng, 1)};
}

TEST(DecoderTest, EveryStepEqualsAFullRunOfEachExample) {
  const Transformer model = tiny_transformer();
  for (const Hooks& hooks : {Hooks(), position_hooks()}) {
    Rng rng({3});
    TokenLists texts = prompts_of_three_lengths(rng);
    Decoder decoder(model, TokenBatch::from(texts), hooks);
    for (int64_t step = 0; step < 60; ++step) {  // the buffer grows more than once
      EXPECT_LT(relative_gap(decoder.logits(), full_logits(model, texts, hooks)), 1e-5) << step;
      append_random(rng, decoder, texts);
    }
    EXPECT_TRUE(at::equal(decoder.length().flatten(), at::tensor({63, 71, 61}, at::kLong)));
  }
}

TEST(DecoderTest, Bfloat16WeightsStepAsTheyRun) {
  const Transformer model = tiny_transformer().to(at::kBFloat16);
  Rng rng({4});
  TokenLists texts = prompts_of_three_lengths(rng);
  Decoder decoder(model, TokenBatch::from(texts));
  for (int64_t step = 0; step < 10; ++step) append_random(rng, decoder, texts);
  EXPECT_LT(relative_gap(decoder.logits(), full_logits(model, texts, {})), 0.02);
}

TEST(DecoderTest, EditsChangeTheResult) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = TokenBatch::from({{1, 2, 3}});
  Decoder plain(model, batch), edited(model, batch, position_hooks());
  EXPECT_GT(relative_gap(edited.logits(), plain.logits()), 1e-2);
}

TEST(DecoderTest, EditsSeeOneRowAtItsTruePosition) {
  const Transformer model = tiny_transformer();
  std::vector<Rows> seen;
  std::vector<std::vector<int64_t>> sizes;
  Hooks hooks;
  hooks.edits[{2, SiteKind::kResidPre}] = [&](const at::Tensor& value, const Rows& rows) {
    seen.push_back(rows);
    sizes.push_back(value.sizes().vec());
    return value;
  };
  Decoder decoder(model, TokenBatch::from({{1, 2, 3}, {4}}), hooks);
  decoder.step(at::tensor({5, 6}, at::kLong));
  decoder.step(at::tensor({7, 8}, at::kLong));
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(sizes[0], (std::vector<int64_t>{2, 3, 24}));
  EXPECT_EQ(sizes[2], (std::vector<int64_t>{2, 1, 24}));
  EXPECT_TRUE(at::equal(seen[1].position, at::tensor({3, 1}, at::kLong).view({2, 1})));
  EXPECT_TRUE(at::equal(seen[2].position, at::tensor({4, 2}, at::kLong).view({2, 1})));
  EXPECT_TRUE(at::equal(seen[2].length, at::tensor({5, 3}, at::kLong).view({2, 1})));
  EXPECT_TRUE(seen[2].is_real.all().item<bool>());
}

TEST(DecoderTest, SelectedExamplesGoOnAsBefore) {
  const Transformer model = tiny_transformer();
  const Hooks hooks = position_hooks();
  Rng rng({5});
  TokenLists texts = prompts_of_three_lengths(rng);
  Decoder decoder(model, TokenBatch::from(texts), hooks);
  append_random(rng, decoder, texts);
  decoder.select(at::tensor({2, 0, 0}, at::kLong));  // a repeat is a second try
  texts = {texts[2], texts[0], texts[0]};
  EXPECT_LT(relative_gap(decoder.logits(), full_logits(model, texts, hooks)), 1e-5);
  for (int64_t step = 0; step < 45; ++step) append_random(rng, decoder, texts);
  EXPECT_EQ(decoder.size(), 3);
  EXPECT_LT(relative_gap(decoder.logits(), full_logits(model, texts, hooks)), 1e-5);
}

TEST(DecoderTest, AFullExampleStaysAndTheOthersGoOn) {
  const Transformer model = model_of_context(8);
  std::vector<bool> is_real;
  Hooks hooks;
  hooks.edits[{1, SiteKind::kResidPre}] = [&](const at::Tensor& value, const Rows& rows) {
    is_real.push_back(rows.is_real[0][-1].item<bool>());
    return value;
  };
  Decoder decoder(model, TokenBatch::from({{1, 2, 3, 4, 5, 6, 7}, {9, 8}}), hooks);
  decoder.step(at::tensor({8, 7}, at::kLong));
  const at::Tensor full = decoder.resid()[0].clone();
  decoder.step(at::tensor({9, 6}, at::kLong));
  decoder.step(at::tensor({9, 5}, at::kLong));
  EXPECT_EQ(is_real, (std::vector<bool>{true, true, false, false}));
  EXPECT_TRUE(at::equal(decoder.resid()[0], full));
  EXPECT_TRUE(at::equal(decoder.length().flatten(), at::tensor({8, 5}, at::kLong)));
  const TokenLists texts = {{1, 2, 3, 4, 5, 6, 7, 8}, {9, 8, 7, 6, 5}};
  EXPECT_LT(relative_gap(decoder.logits(), full_logits(model, texts, {})), 1e-5);
}

TEST(DecoderTest, KeepsNoGradients) {
  const Transformer model = tiny_transformer();
  const at::Tensor shift = at::ones({24}).requires_grad_(true);
  Hooks hooks;
  hooks.edits[{1, SiteKind::kResidPre}] = [&](const at::Tensor& v, const Rows&) {
    return v + shift;
  };
  Decoder decoder(model, TokenBatch::from({{1, 2}}), hooks);
  EXPECT_FALSE(decoder.logits().requires_grad());
  decoder.step(at::tensor({3}, at::kLong));
  EXPECT_FALSE(decoder.logits().requires_grad());
}

TEST(DecoderTest, ImpossibleInputIsRefused) {
  const Transformer model = model_of_context(4);
  EXPECT_THROW(Decoder(model, TokenBatch::from({{1, 2, 3, 4, 5}})), DataError);
  Decoder decoder(model, TokenBatch::from({{1}, {2}}));
  EXPECT_THROW(decoder.step(at::tensor({1, 61}, at::kLong)), DataError);
  EXPECT_THROW(decoder.step(at::tensor({-1, 1}, at::kLong)), DataError);
  EXPECT_THROW(decoder.step(at::tensor({1}, at::kLong)), DataError);
}

}  // namespace
}  // namespace rebound
