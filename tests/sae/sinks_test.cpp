#include "rebound/sae/sinks.h"

#include <gtest/gtest.h>

#include "sae/sae_fixture.h"

namespace rebound {
namespace {

Rows rows_of(int64_t batch, int64_t pos, const std::vector<int64_t>& lengths) {
  const at::Tensor position = at::arange(pos).expand({batch, pos}).contiguous();
  const at::Tensor length = at::tensor(lengths, at::kLong).unsqueeze(1);
  return {.position = position, .is_real = position < length, .length = length};
}

TEST(SinksTest, PositionZeroLargeTokensAndPaddingDoNotCount) {
  at::Tensor resid = at::ones({2, 5, 3});
  resid[0][1] = 10.5;  // beyond 10 x the median norm
  resid[0][2] = 9.5;
  const at::Tensor counted = counted_tokens(resid, rows_of(2, 5, {5, 3}));
  const at::Tensor expected = at::tensor({0, 0, 1, 1, 1, 0, 1, 1, 0, 0}).view({2, 5}).to(at::kBool);
  EXPECT_TRUE(at::equal(counted, expected));
}

TEST(SinksTest, PaddingDoesNotMoveTheMedian) {
  at::Tensor resid = at::ones({1, 20, 3});
  resid.slice(1, 4) = 1e6;
  const at::Tensor counted = counted_tokens(resid, rows_of(1, 20, {4}));
  EXPECT_EQ(counted.sum().item<int64_t>(), 3);
}

TEST(SinksTest, AGivenLimitStandsInPlaceOfTheMedian) {
  at::Tensor resid = at::ones({1, 4, 1});
  resid[0][2] = 3;
  const at::Tensor counted = counted_tokens(resid, rows_of(1, 4, {4}), 2);
  EXPECT_TRUE(at::equal(counted, at::tensor({0, 1, 0, 1}).view({1, 4}).to(at::kBool)));
}

TEST(SinksTest, ASegmentThatStartsLaterCountsItsFirstRow) {
  Rows rows = rows_of(1, 3, {3});
  rows.position = rows.position + 7;
  EXPECT_EQ(counted_tokens(at::ones({1, 3, 2}), rows).sum().item<int64_t>(), 3);
}

TEST(SinksTest, SinksKeepTheirValue) {
  const at::Tensor resid = at::zeros({1, 2, 3}), edited = at::ones({1, 2, 3});
  const at::Tensor out = keep_sinks(resid, edited, at::tensor({0, 1}).view({1, 2}).to(at::kBool));
  EXPECT_EQ(out[0][0].sum().item<float>(), 0);
  EXPECT_EQ(out[0][1].sum().item<float>(), 3);
}

}  // namespace
}  // namespace rebound
