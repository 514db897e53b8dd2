#include "rebound/model/transformer.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/model/family_sites.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

TEST(TransformerTest, BatchEqualsSingles) {
  const Transformer model = tiny_transformer();
  Rng rng({3});
  const std::vector<std::vector<int64_t>> prompts = {
      random_ids(rng, 5), random_ids(rng, 9), random_ids(rng, 1)};
  const at::Tensor together = model.run(TokenBatch::from(prompts)).resid;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const at::Tensor alone = model.run(TokenBatch::from({prompts[i]})).resid[0];
    const at::Tensor row = together[static_cast<int64_t>(i)].narrow(0, 0, alone.size(0));
    EXPECT_LT(relative_gap(row, alone), 1e-5);
  }
}

TEST(TransformerTest, LaterTokensNeverChangeEarlierResiduals) {
  const Transformer model = tiny_transformer();
  std::vector<int64_t> ids = {1, 2, 3, 4, 5};
  const at::Tensor before = model.run(TokenBatch::from({ids})).resid;
  ids.back() = 30;
  const at::Tensor after = model.run(TokenBatch::from({ids})).resid;
  EXPECT_LT(relative_gap(after.narrow(1, 0, 4), before.narrow(1, 0, 4)), 1e-6);
  EXPECT_GT(relative_gap(after.narrow(1, 4, 1), before.narrow(1, 4, 1)), 1e-2);
}

TEST(TransformerTest, IdentityEditsChangeNothingAndEditsAreSeenDownstream) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = TokenBatch::from({{1, 2, 3, 4}});
  const at::Tensor plain = model.run(batch).resid;
  RunOptions options;
  for (const Site& site : all_sites(model.config())) {
    if (is_residual(site)) {
      options.hooks.edits[site] = [](const at::Tensor& value, const Rows&) { return value; };
    }
  }
  EXPECT_TRUE(at::equal(model.run(batch, options).resid, plain));
  options.hooks.edits = {
      {{2, SiteKind::kResidMid}, [](const at::Tensor& v, const Rows&) { return v + 1; }}};
  options.hooks.capture = {
      {2, SiteKind::kResidMid}, {3, SiteKind::kResidPre}, {2, SiteKind::kResidPost}};
  const RunOutput edited = model.run(batch, options);
  EXPECT_GT(relative_gap(edited.resid, plain), 1e-3);
  EXPECT_TRUE(at::equal(edited.activations.at({3, SiteKind::kResidPre}),
                        edited.activations.at({2, SiteKind::kResidPost})));
}

TEST(TransformerTest, ResidualStreamIsTheSumOfWhatIsWrittenToIt) {
  const Transformer model = tiny_transformer();
  RunOptions options;
  for (const Site& site : all_sites(model.config())) options.hooks.capture.insert(site);
  const RunOutput run = model.run(TokenBatch::from({{7, 8, 9}}), options);
  at::Tensor sum = run.activations.at({-1, SiteKind::kEmbed});
  for (int64_t layer = 0; layer < model.n_layers(); ++layer) {
    sum = sum + run.activations.at({layer, SiteKind::kAttnOut}) +
          run.activations.at({layer, SiteKind::kMlpOut});
  }
  EXPECT_LT(relative_gap(sum, run.resid), 1e-5);
  const at::Tensor pattern = run.activations.at({1, SiteKind::kPattern});
  EXPECT_LT((pattern.sum(-1) - 1).abs().max().item<double>(), 1e-5);
}

TEST(TransformerTest, LogitsOfSomeTokensEqualTheFullHead) {
  const Transformer model = tiny_transformer();
  const at::Tensor resid = model.run(TokenBatch::from({{1, 2, 3}})).resid[0];
  const at::Tensor tokens = at::tensor({5, 9, 60, 0, 1, 2}, at::kLong).view({3, 2});
  EXPECT_LT(relative_gap(model.logits_of(resid, tokens), model.logits(resid).gather(1, tokens)),
            1e-5);
}

TEST(TransformerTest, TokenIdsOutsideTheVocabularyAreRefused) {
  const Transformer model = tiny_transformer();
  EXPECT_THROW(model.run(TokenBatch::from({{61}})), DataError);
  EXPECT_THROW(model.run(TokenBatch::from({{-1}})), DataError);
  EXPECT_THROW(model.run(TokenBatch::from({std::vector<int64_t>(200, 1)})), DataError);
  EXPECT_THROW(TokenBatch::from({{1}, {}}), DataError);
}

TEST(TransformerTest, Bfloat16WeightsStayNearFloat32) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = TokenBatch::from({{1, 2, 3, 4, 5, 6}});
  const at::Tensor exact = model.run(batch).resid;
  const at::Tensor rough = model.to(at::kBFloat16).run(batch).resid;
  EXPECT_EQ(rough.scalar_type(), at::kFloat);
  EXPECT_LT((rough - exact).norm().item<double>() / exact.norm().item<double>(), 3e-2);
}

}  // namespace
}  // namespace rebound
