// What rounding the weights does to the residual stream.
#include "rebound/model/precision_gap.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

const std::vector<int64_t> kText = {3, 14, 15, 9, 2, 6};

TEST(PrecisionGapTest, AModelDoesNotDifferFromItself) {
  const Transformer model = tiny_transformer();
  const PrecisionGap gap = precision_gap(model, model, kText);
  EXPECT_EQ(gap.largest, 0);
  EXPECT_EQ(gap.last, 0);
  EXPECT_EQ(gap.to_json()["dtype"], "float32");
}

TEST(PrecisionGapTest, TheLargestIsThatOfTwoWholeRuns) {
  const Transformer model = tiny_transformer();
  const Transformer rounded = model.to(at::kBFloat16);
  const PrecisionGap gap = precision_gap(rounded, model, kText);
  EXPECT_EQ(gap.precision, "bfloat16");
  EXPECT_GT(gap.largest, 1e-4);
  EXPECT_LT(gap.largest, 0.05);
  const TokenBatch batch = TokenBatch::from({kText});
  const at::Tensor last = model.run(batch).resid;
  const double expected = ((rounded.run(batch).resid - last).norm() / last.norm()).item<double>();
  EXPECT_NEAR(gap.last, expected, 1e-9);
  EXPECT_GE(gap.largest, gap.last);
  EXPECT_EQ(gap.at.kind, SiteKind::kResidPost);
}

TEST(PrecisionGapTest, NoTokenIsAnError) {
  const Transformer model = tiny_transformer();
  EXPECT_THROW(precision_gap(model, model, {}), DataError);
}

}  // namespace
}  // namespace rebound
