#include "rebound/recover/target_log_prob.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace rebound {
namespace {

class TargetLogProbTest : public ::testing::Test {
 protected:
  at::Tensor logits = 4 * at::sin(at::arange(2 * 3 * 50, at::kFloat) * 1.7).view({2, 3, 50});
  at::Tensor targets = at::tensor({0, 7, 49, 12, 12, 3}, at::kLong).view({2, 3});
  at::Tensor weight = at::tensor({0.5, -1.0, 2.0, 0.0, 3.0, 0.25}, at::kFloat).view({2, 3});

  at::Tensor plain(const at::Tensor& x) const {
    return at::log_softmax(x, -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
  }
};

TEST_F(TargetLogProbTest, IsTheLogarithmOfTheSoftmaxAtTheTarget) {
  const TargetScores scores = score_targets(logits, targets);
  EXPECT_TRUE(at::allclose(scores.log_prob, plain(logits), 1e-6, 1e-6));
  EXPECT_TRUE(at::equal(scores.argmax, logits.argmax(-1)));
}

TEST_F(TargetLogProbTest, ItsGradientIsThatOfThePlainRoad) {
  const at::Tensor ours = logits.clone().requires_grad_(true), theirs = logits.clone().requires_grad_(true);
  const auto mine = torch::autograd::grad({(score_targets(ours, targets).log_prob * weight).sum()}, {ours})[0];
  const auto other = torch::autograd::grad({(plain(theirs) * weight).sum()}, {theirs})[0];
  EXPECT_TRUE(at::allclose(mine, other, 1e-5, 1e-7));
  EXPECT_GT(mine.abs().max().item<float>(), 0.1f);
}

TEST_F(TargetLogProbTest, GradientsOfOtherUsesOfTheLogitsAreAdded) {
  const at::Tensor ours = logits.clone().requires_grad_(true), theirs = logits.clone().requires_grad_(true);
  const auto mine = torch::autograd::grad({score_targets(ours, targets).log_prob.sum() + ours.square().sum()}, {ours})[0];
  const auto other = torch::autograd::grad({plain(theirs).sum() + theirs.square().sum()}, {theirs})[0];
  EXPECT_TRUE(at::allclose(mine, other, 1e-5, 1e-6));
}

TEST_F(TargetLogProbTest, RefusesASecondDerivative) {
  const at::Tensor ours = logits.clone().requires_grad_(true);
  const auto sum = score_targets(ours, targets).log_prob.sum();
  EXPECT_THROW(torch::autograd::grad({sum}, {ours}, {}, true, /*create_graph=*/true), c10::Error);
}

TEST_F(TargetLogProbTest, AHopelessTargetHasItsLogitsDifferenceNotMinusInfinity) {
  const at::Tensor far = at::tensor({0.0f, 400.0f, 0.0f}).view({1, 1, 3});
  const TargetScores scores = score_targets(far, at::zeros({1, 1}, at::kLong));
  EXPECT_FLOAT_EQ(scores.log_prob.item<float>(), -400.0f);
}

}  // namespace
}  // namespace rebound
