#include "rebound/intervene/direction_clamp.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "intervene_fixture.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr Site kClampSite{2, SiteKind::kResidPre};

Rows rows_of(int64_t n) {
  const at::Tensor position = at::arange(n, at::kLong).unsqueeze(0);
  return {position, at::ones({1, n}, at::kBool), at::full({1, 1}, n, at::kLong)};
}

DirectionClamp clamp_of(DirectionEdit edit, double strength = 1, double sink_norm = 100) {
  return DirectionClamp(
      kClampSite,
      at::tensor({3.0f, 4.0f}),
      {.edit = edit, .strength = strength, .positions = {}, .sink_norm = sink_norm});
}

TEST(DirectionClampTest, AddsTheDirectionTimesItsStrengthPastPositionZero) {
  const at::Tensor value = at::ones({1, 3, 2});
  const at::Tensor edited = clamp_of(DirectionEdit::kAdd, 0.5).apply(value, rows_of(3));
  EXPECT_TRUE(at::equal(edited[0][0], at::tensor({1.0f, 1.0f})));
  EXPECT_TRUE(at::allclose(edited[0][1], at::tensor({2.5f, 3.0f})));
  EXPECT_TRUE(at::allclose(edited[0][2], at::tensor({2.5f, 3.0f})));
}

TEST(DirectionClampTest, AblationLeavesNothingAlongTheDirection) {
  Rng rng({2});
  const at::Tensor value = random_tensor(rng, {1, 4, 2});
  const DirectionClamp clamp = clamp_of(DirectionEdit::kAblate);
  const at::Tensor edited = clamp.apply(value, rows_of(4));
  EXPECT_LT(clamp.read(edited).slice(1, 1).abs().max().item<double>(), 1e-6);
  // Twice is once.
  EXPECT_LT((clamp.apply(edited, rows_of(4)) - edited).abs().max().item<double>(), 1e-6);
  // Across the direction nothing moves.
  const at::Tensor across = at::tensor({4.0f, -3.0f});
  EXPECT_LT((at::matmul(edited - value, across)).abs().max().item<double>(), 1e-5);
}

TEST(DirectionClampTest, AttentionSinksStayAsTheyAre) {
  at::Tensor value = at::ones({1, 3, 2});
  value[0][1].fill_(1000);
  const at::Tensor edited = clamp_of(DirectionEdit::kAdd).apply(value, rows_of(3));
  EXPECT_TRUE(at::equal(edited[0][1], value[0][1]));
  EXPECT_FALSE(at::equal(edited[0][2], value[0][2]));
}

TEST(DirectionClampTest, ReadsTheCoordinateAlongTheUnitDirection) {
  const DirectionClamp clamp = clamp_of(DirectionEdit::kAdd);
  EXPECT_NEAR(clamp.read(at::tensor({5.0f, 10.0f}).view({1, 1, 2})).item<double>(), 11, 1e-5);
  EXPECT_EQ(clamp.read_columns().sizes(), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(clamp.write_rows().sizes(), (std::vector<int64_t>{1, 2}));
}

TEST(DirectionClampTest, BadDirectionsAreErrors) {
  const DirectionClamp::Options options{.positions = {}, .sink_norm = 1};
  EXPECT_THROW(DirectionClamp(kClampSite, at::zeros({4}), options), DataError);
  EXPECT_THROW(
      DirectionClamp(kClampSite, at::full({4}, std::numeric_limits<float>::quiet_NaN()), options),
      DataError);
  EXPECT_THROW(DirectionClamp(kClampSite, at::ones({2, 2}), options), ConfigError);
  EXPECT_THROW(DirectionClamp({1, SiteKind::kMlpPost}, at::ones({4}), options), ConfigError);
  EXPECT_THROW(parse_direction_edit("remove"), ConfigError);
}

}  // namespace
}  // namespace rebound
