#include "rebound/model/margin.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"

namespace rebound {
namespace {

at::Tensor longs(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

const at::Tensor& two_rows() {
  static const at::Tensor logits =
      at::tensor({1.0f, 5.0f, 2.0f, 4.0f, 7.0f, 0.0f, 3.0f, 3.5f}).view({2, 4});
  return logits;
}

TEST(MarginTest, AgainstOneTokenItIsTheDifference) {
  const at::Tensor margin = margins_of_logits(two_rows(), longs({1, 2}), longs({0, 3}));
  EXPECT_FLOAT_EQ(margin[0].item<float>(), 4.0f);
  EXPECT_FLOAT_EQ(margin[1].item<float>(), -0.5f);
}

TEST(MarginTest, AgainstAllOthersItIsPositiveExactlyAtTheArgmax) {
  for (int64_t row = 0; row < 2; ++row) {
    const at::Tensor logits = two_rows().narrow(0, row, 1);
    for (int64_t token = 0; token < 4; ++token) {
      const float margin =
          margins_of_logits(logits, longs({token}), longs({kBestOther})).item<float>();
      EXPECT_EQ(margin > 0, logits.argmax().item<int64_t>() == token) << row << " " << token;
    }
  }
  EXPECT_FLOAT_EQ(margins_of_logits(two_rows(), longs({1, 2}), longs({kBestOther, kBestOther}))[0]
                      .item<float>(),
                  1.0f);
}

TEST(MarginTest, AgainstSeveralTokensTheBestOfThemCounts) {
  const at::Tensor margin =
      margins_of_logits(two_rows(), longs({1, 2}), longs({0, 2, 1, 3}).view({2, 2}));
  EXPECT_FLOAT_EQ(margin[0].item<float>(), 3.0f);   // 5 - max(1, 2)
  EXPECT_FLOAT_EQ(margin[1].item<float>(), -0.5f);  // 3 - max(0, 3.5)
}

TEST(MarginTest, TheHeadOfAFewTokensAndOfAllAgree) {
  const Transformer model = tiny_transformer();
  Rng rng({3});
  const at::Tensor resid = random_tensor(rng, {2, model.d_model()});
  const at::Tensor correct = longs({4, 9}), named = longs({7, 8});
  const at::Tensor rivals = longs({7, 1, 8, 2}).view({2, 2});
  for (const at::Tensor& wrong : {named, rivals, longs({kBestOther, 8})}) {
    const at::Tensor of_logits = margins_of_logits(model.logits(resid), correct, wrong);
    EXPECT_LT(relative_gap(logit_margins(model, resid, correct, wrong), of_logits), 1e-5);
  }
}

TEST(MarginTest, TheGradientIsThatOfTheBestOtherToken) {
  const at::Tensor logits = two_rows().clone().requires_grad_(true);
  const at::Tensor margin =
      margins_of_logits(logits, longs({1, 2}), longs({kBestOther, kBestOther}));
  margin.sum().backward();
  const at::Tensor expected =
      at::tensor({0.0f, 1.0f, 0.0f, -1.0f, -1.0f, 0.0f, 1.0f, 0.0f}).view({2, 4});
  EXPECT_TRUE(at::equal(logits.grad(), expected));
}

}  // namespace
}  // namespace rebound
