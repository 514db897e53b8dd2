// Rows as a file stores them do what the same values do as one dense tensor.
#include "rebound/model/matrix.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/model/generate.h"
#include "rebound/model/precision_gap.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

// Rows of Q8_0 blocks with known content: d = 2^-6, q counts up. [rows, 64]
StoredRows q8_rows(int64_t rows, int first) {
  const at::Tensor bytes = at::zeros({rows, 68}, at::kByte);
  auto* out = bytes.data_ptr<uint8_t>();
  int q = first;
  for (int64_t block = 0; block < 2 * rows; ++block, out += 34) {
    out[0] = 0x00;
    out[1] = 0x24;  // 2^-6 as float16
    for (int i = 0; i < 32; ++i) out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(q++ % 97 - 48));
  }
  return {DType::kQ8_0, bytes};
}

at::Tensor q8_values(int64_t rows, int first) {
  const at::Tensor count = at::arange(first, first + rows * 64, at::kDouble);
  return ((count.remainder(97) - 48) / 64).to(at::kFloat).view({rows, 64});
}

class StoredMatrixTest : public ::testing::Test {
 protected:
  // Many more rows than are in work at once, of two types.
  const int64_t n_first = 5000, n_second = 30;
  const at::Tensor second = at::sin(at::arange(n_second * 64, at::kFloat)).view({n_second, 64});
  const Matrix stored = Matrix::stacked({Matrix({q8_rows(n_first, 3)}), second});
  const at::Tensor dense = at::cat({q8_values(n_first, 3), second});
  const at::Tensor x = at::cos(at::arange(6 * 64, at::kFloat)).view({6, 64});
};

TEST_F(StoredMatrixTest, HasTheShapeAndTheBytesOfItsRows) {
  EXPECT_TRUE(stored.is_stored());
  EXPECT_EQ(stored.size(0), n_first + n_second);
  EXPECT_EQ(stored.size(1), 64);
  EXPECT_EQ(stored.bytes(), n_first * 68 + n_second * 64 * 4);
  EXPECT_EQ(stored.forms(), (std::set<std::string>{"F32", "Q8_0"}));
  EXPECT_TRUE(at::equal(stored.to(at::kFloat).dense(), dense));
}

TEST_F(StoredMatrixTest, ProductIsThatOfTheDenseValues) {
  const at::Tensor exact = at::mm(x.to(at::kDouble), dense.to(at::kDouble).t());
  EXPECT_LT((stored.product(x) - exact).abs().max().item<double>(), 1e-5);
}

TEST_F(StoredMatrixTest, GradientsOfBothOrdersAreThoseOfTheDenseProduct) {
  const auto gradients = [&](const Matrix& matrix) {
    const at::Tensor input = x.clone().requires_grad_(true);
    const auto first = torch::autograd::grad(
        {matrix.product(input).pow(3).sum()}, {input}, {}, true, /*create_graph=*/true)[0];
    const auto second = torch::autograd::grad({first.square().sum()}, {input})[0];
    return std::vector<at::Tensor>{first.detach(), second};
  };
  const auto got = gradients(stored), want = gradients(dense);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LT(((got[i] - want[i]).norm() / want[i].norm()).item<double>(), 1e-5) << i;
    EXPECT_GT(want[i].norm().item<double>(), 1);
  }
}

TEST_F(StoredMatrixTest, RowsByNumberAreThoseOfTheDenseTensor) {
  const at::Tensor index = at::tensor({0L, 4999L, 5000L, 5029L, 17L, 17L}, at::kLong).view({2, 3});
  EXPECT_TRUE(at::equal(stored.rows(index), at::embedding(dense, index)));
  EXPECT_THROW(stored.rows(at::tensor({5030L}, at::kLong)), DataError);
  EXPECT_THROW(stored.rows(at::tensor({-1L}, at::kLong)), DataError);
}

TEST_F(StoredMatrixTest, RowsInAnotherOrderKeepTheirBytes) {
  const Matrix one({q8_rows(4, 11)});
  const at::Tensor order = at::tensor({2L, 0L, 3L, 1L}, at::kLong);
  const Matrix turned = one.select_rows(order);
  EXPECT_TRUE(turned.is_stored());
  EXPECT_TRUE(at::equal(turned.to(at::kFloat).dense(), q8_values(4, 11).index_select(0, order)));
}

TEST_F(StoredMatrixTest, ADenseViewOfStoredRowsIsAnError) {
  EXPECT_THROW(stored.dense(), ConfigError);
  EXPECT_THROW(Matrix({q8_rows(2, 0), {DType::kF32, at::zeros({2, 4 * 32}, at::kByte)}}), DataError);
}

TEST_F(StoredMatrixTest, Float16IsTheValueRoundedToElevenBits) {
  const Matrix half = Matrix(second).to(at::kHalf);
  EXPECT_TRUE(half.is_stored());
  EXPECT_EQ(half.forms(), std::set<std::string>{"float16"});
  EXPECT_EQ(half.bytes(), n_second * 64 * 2);
  const at::Tensor gap = (half.to(at::kFloat).dense() - second).abs() / second.abs().clamp_min(1e-3);
  EXPECT_LE(gap.max().item<double>(), 1.0 / 2048);
  EXPECT_GT(gap.max().item<double>(), 1.0 / 8192);
}

TEST(StoredModelTest, AModelInFloat16IsNearTheOneInFloat32AndGoesBack) {
  const Transformer model = tiny_transformer();
  const Transformer half = model.to(at::kHalf);
  EXPECT_EQ(half.precision(), "float16");
  const PrecisionGap gap = precision_gap(half, model, {3, 14, 15, 9, 2, 6});
  EXPECT_EQ(gap.precision, "float16");
  EXPECT_GT(gap.largest, 1e-5);
  EXPECT_LT(gap.largest, 5e-3);
  const Transformer wide = half.to(at::kFloat);
  EXPECT_EQ(wide.precision(), "float32");
  const TokenBatch batch = TokenBatch::from({{3, 14, 15, 9, 2, 6}});
  const at::Tensor a = half.logits(half.run(batch).resid), b = wide.logits(wide.run(batch).resid);
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-4);
}

}  // namespace
}  // namespace rebound
