#include "rebound/model/generate_batch.h"

#include <gtest/gtest.h>

#include <set>

#include "rebound/base/error.h"
#include "rebound/model/generate.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

using TokenLists = std::vector<std::vector<int64_t>>;

TokenLists five_prompts() {
  Rng rng({8});
  TokenLists prompts;
  for (const int64_t length : {3, 12, 1, 7, 7}) prompts.push_back(random_ids(rng, length));
  return prompts;
}

Hooks live_hooks() {
  Hooks hooks;
  hooks.edits[{1, SiteKind::kResidPre}] = [](const at::Tensor& value, const Rows& rows) {
    return value + rows.position.unsqueeze(-1).cos();
  };
  return hooks;
}

TokenLists singles(const Transformer& model,
                   const TokenLists& prompts,
                   const GenerateBatchOptions& options,
                   const Hooks& hooks = {}) {
  TokenLists answers;
  for (const auto& prompt : prompts) {
    answers.push_back(
        generate(model,
                 prompt,
                 {.max_new_tokens = options.max_new_tokens, .stop_tokens = options.stop_tokens},
                 hooks));
  }
  return answers;
}

TEST(GenerateBatchTest, ABatchSaysWhatItsExamplesSayAlone) {
  const Transformer model = tiny_transformer();
  GenerateBatchOptions options{.max_new_tokens = 30};
  const TokenLists plain = generate_batch(model, five_prompts(), options);
  EXPECT_EQ(plain, singles(model, five_prompts(), options));
  const TokenLists edited = generate_batch(model, five_prompts(), options, live_hooks());
  EXPECT_EQ(edited, singles(model, five_prompts(), options, live_hooks()));
  EXPECT_NE(edited, plain);
}

TEST(GenerateBatchTest, StopTokensEndTheirExampleWhateverTheBatchDoes) {
  const Transformer model = tiny_transformer();
  GenerateBatchOptions options{.max_new_tokens = 20};
  const TokenLists whole = singles(model, five_prompts(), options, live_hooks());
  options.stop_tokens = {whole[0][4], whole[1][0], whole[3][9]};
  const TokenLists expected = singles(model, five_prompts(), options, live_hooks());
  std::set<size_t> sizes;
  for (const auto& answer : expected) sizes.insert(answer.size());
  ASSERT_GE(sizes.size(), 3u);
  for (const bool keeps_finished : {true, false}) {
    for (const bool is_split_allowed : {true, false}) {
      options.keeps_finished = keeps_finished;
      options.is_split_allowed = is_split_allowed;
      EXPECT_EQ(generate_batch(model, five_prompts(), options, live_hooks()), expected);
    }
  }
}

TEST(GenerateBatchTest, FinishedExamplesLeaveOnlyWhenAllowed) {
  const Transformer model = tiny_transformer();
  GenerateBatchOptions options{.max_new_tokens = 6};
  const TokenLists whole = generate_batch(model, {{1, 2}, {3, 4, 5}}, options);
  options.stop_tokens = {whole[0][1]};
  ASSERT_EQ(singles(model, {{3, 4, 5}}, options)[0].size(), 6u);
  std::vector<int64_t> batch;
  Hooks hooks;
  hooks.edits[{0, SiteKind::kResidPre}] = [&](const at::Tensor& value, const Rows&) {
    batch.push_back(value.size(0));
    return value;
  };
  generate_batch(model, {{1, 2}, {3, 4, 5}}, options, hooks);
  EXPECT_EQ(batch, (std::vector<int64_t>{2, 2, 2, 2, 2, 2}));
  batch.clear();
  options.keeps_finished = false;
  generate_batch(model, {{1, 2}, {3, 4, 5}}, options, hooks);
  EXPECT_EQ(batch, (std::vector<int64_t>{2, 2, 1, 1, 1, 1}));
}

TEST(GenerateBatchTest, ATwinCanBeFedItsSiblingsTokens) {
  const Transformer model = tiny_transformer();
  const TokenLists twins = {{1, 2, 3}, {1, 2, 3}};
  Hooks hooks;  // the second alone is edited
  const at::Tensor is_second = at::tensor({0.f, 1.f}).view({2, 1, 1});
  hooks.edits[{1, SiteKind::kResidPre}] = [&](const at::Tensor& value, const Rows& rows) {
    return value + is_second * rows.position.unsqueeze(-1).cos() * 2;
  };
  GenerateBatchOptions options{.max_new_tokens = 12};
  const TokenLists free = generate_batch(model, twins, options, hooks);
  ASSERT_NE(free[0], free[1]);
  std::vector<at::Tensor> greedy_tokens;
  options.next_tokens = [&](const at::Tensor& greedy) {
    greedy_tokens.push_back(greedy);
    return greedy[0].expand({2});
  };
  const TokenLists tied = generate_batch(model, twins, options, hooks);
  EXPECT_EQ(tied, (TokenLists{free[0], free[0]}));
  // What the twin would have said, after the same tokens.
  std::vector<int64_t> text = twins[1];
  const auto alone = [&](const at::Tensor& value, const Rows& rows) {
    return value + rows.position.unsqueeze(-1).cos() * 2;
  };
  const Hooks second{{{{1, SiteKind::kResidPre}, alone}}, {}};
  ASSERT_EQ(greedy_tokens.size(), 12u);
  for (size_t i = 0; i < 12; ++i) {
    const std::vector<int64_t> next = generate(model, text, {.max_new_tokens = 1}, second);
    EXPECT_EQ(greedy_tokens[i][1].item<int64_t>(), next[0]) << i;
    text.push_back(tied[1][i]);
  }
}

TEST(GenerateBatchTest, AnExampleThatFillsTheContextEnds) {
  ModelConfig config = tiny_config();
  config.max_position_embeddings = 10;
  const Transformer model = tiny_transformer(1, config);
  const TokenLists prompts = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6, 7}};
  GenerateBatchOptions options{.max_new_tokens = 50};
  const TokenLists answers = generate_batch(model, prompts, options);
  EXPECT_EQ(answers, singles(model, prompts, options));
  EXPECT_TRUE(answers[0].empty());
  EXPECT_EQ(answers[1].size(), 6u);
  EXPECT_EQ(answers[2].size(), 3u);
  options.keeps_finished = false;
  EXPECT_EQ(generate_batch(model, prompts, options), answers);
}

TEST(GenerateBatchTest, NothingIsSaidToNoPromptsOrInNoTokens) {
  const Transformer model = tiny_transformer();
  EXPECT_TRUE(generate_batch(model, {}, {}).empty());
  EXPECT_EQ(generate_batch(model, {{1}, {2}}, {.max_new_tokens = 0}), (TokenLists{{}, {}}));
}

TEST(GenerateBatchTest, ImpossibleOptionsAreRefused) {
  const Transformer model = tiny_transformer();
  const auto same = [](const at::Tensor& greedy) { return greedy; };
  EXPECT_THROW(generate_batch(model, {{1}}, {.max_new_tokens = -1}), ConfigError);
  EXPECT_THROW(generate_batch(model, {{1}}, {.next_tokens = same, .is_split_allowed = true}),
               ConfigError);
  EXPECT_THROW(generate_batch(model, {{1}}, {.next_tokens = same, .keeps_finished = false}),
               ConfigError);
  const auto narrow = [](const at::Tensor& greedy) { return greedy.slice(0, 1); };
  EXPECT_THROW(generate_batch(model, {{1}, {2}}, {.next_tokens = narrow}), DataError);
}

}  // namespace
}  // namespace rebound
