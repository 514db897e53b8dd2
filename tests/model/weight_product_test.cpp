#include "rebound/model/weight_product.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/model/one_row_product.h"

namespace rebound {
namespace {

at::Tensor waves(at::IntArrayRef sizes, double step) {
  int64_t n = 1;
  for (const int64_t size : sizes) n *= size;
  return at::sin(at::arange(n, at::kDouble) * step).to(at::kFloat).view(sizes);
}

class WeightProductTest : public ::testing::TestWithParam<int64_t> {
 protected:
  at::Tensor x = waves({GetParam(), 40}, 1.3), weight = waves({56, 40}, 0.7);

  at::Tensor exact(const at::Tensor& a, const at::Tensor& w) const { return at::mm(a.to(at::kDouble), w.to(at::kDouble).t()); }
};

TEST_P(WeightProductTest, IsTheProductInDouble) {
  const at::Tensor y = weight_product(x, weight);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_LT((y - exact(x, weight)).abs().max().item<double>(), 1e-5);
}

TEST_P(WeightProductTest, RoundsFactorsOfABfloat16WeightOnly) {
  const at::Tensor small = weight.to(at::kBFloat16);
  const at::Tensor rounded = x.to(at::kBFloat16);
  // The sum itself may be rounded once more, to 8 bits.
  EXPECT_LT((weight_product(x, small) - exact(rounded, small)).abs().max().item<double>(), 40 * 0.5 / 256);
}

TEST(OneRowProductTest, IsTheProductOfTheRoundedFactorsAtAnyWidth) {
  if (!has_one_row_product()) GTEST_SKIP() << "this CPU lacks AVX2";
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t width : {1, 7, 32, 75, 160}) {
      const at::Tensor x = waves({1, width}, 1.3), weight = waves({131, width}, 0.7).to(dtype);
      const at::Tensor exact = at::mm(x.to(dtype).to(at::kDouble), weight.to(at::kDouble).t());
      const at::Tensor y = one_row_product(x, weight);
      EXPECT_EQ(y.sizes(), exact.sizes());
      EXPECT_LT((y - exact).abs().max().item<double>(), 1e-5) << dtype << width;
      EXPECT_TRUE(at::equal(weight_product(x, weight), y)) << dtype << width;
    }
  }
}

TEST_P(WeightProductTest, TakesRowsOfAStridedTensor) {
  const at::Tensor wide = waves({GetParam(), 80}, 0.9);
  EXPECT_LT((weight_product(wide.slice(1, 0, 80, 2), weight) - exact(wide.slice(1, 0, 80, 2), weight)).abs().max().item<double>(), 1e-5);
  const at::Tensor other = waves({40, 56}, 0.7).t();
  EXPECT_LT((weight_product(x, other) - exact(x, other)).abs().max().item<double>(), 1e-5);
}

TEST_P(WeightProductTest, GradientIsTheProductWithTheWeight) {
  const at::Tensor input = x.clone().requires_grad_(true), out = waves({GetParam(), 56}, 0.31);
  const auto gradient = torch::autograd::grad({(weight_product(input, weight) * out).sum()}, {input})[0];
  EXPECT_LT((gradient - exact(out, weight.t())).abs().max().item<double>(), 1e-5);
}

TEST_P(WeightProductTest, HasSecondDerivatives) {
  const at::Tensor input = x.clone().requires_grad_(true), other = x.clone().requires_grad_(true);
  const auto second = [&](const at::Tensor& from, const at::Tensor& y) {
    const auto first = torch::autograd::grad({y.pow(3).sum()}, {from}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {from})[0];
  };
  const at::Tensor mine = second(input, weight_product(input, weight)), plain = second(other, at::mm(other, weight.t()));
  EXPECT_TRUE(at::allclose(mine, plain, 1e-3, 1e-3 * plain.abs().max().item<double>()));
  EXPECT_GT(mine.abs().max().item<double>(), 1);
}

TEST_P(WeightProductTest, AWeightThatAsksForAGradientGetsIt) {
  const at::Tensor trained = weight.clone().requires_grad_(true);
  const auto gradient = torch::autograd::grad({weight_product(x, trained).sum()}, {trained})[0];
  EXPECT_LT((gradient - x.sum(0, true)).abs().max().item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Rows, WeightProductTest, ::testing::Values(1, 3, 24, 130));

TEST(WeightProductLibraryTest, NoRowsGiveNoRows) {
  EXPECT_EQ(weight_product(at::zeros({0, 4}), at::ones({3, 4})).sizes(), (at::IntArrayRef{0, 3}));
}

}  // namespace
}  // namespace rebound
