#include "rebound/base/rng.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "support/failures.h"

namespace rebound {
namespace {

// Power sums of n numbers around zero.
struct Moments {
  double mean = 0, second = 0, third = 0, fourth = 0;
};

template <class Draw>
Moments moments_of(int64_t n, const Draw& draw) {
  Moments m;
  for (int64_t i = 0; i < n; ++i) {
    const double x = draw(), x2 = x * x;
    m.mean += x, m.second += x2, m.third += x2 * x, m.fourth += x2 * x2;
  }
  for (double* sum : {&m.mean, &m.second, &m.third, &m.fourth}) *sum /= static_cast<double>(n);
  return m;
}

// The reference outputs of splitmix64 from state 0.
TEST(RngTest, WithoutKeysItIsSplitMix64FromZero) {
  Rng rng(std::initializer_list<uint64_t>{});
  EXPECT_EQ(rng.next(), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(rng.next(), 0x6e789e6aa1b965f4ULL);
  EXPECT_EQ(rng.next(), 0x06c45d188009454fULL);
}

TEST(RngTest, AStreamDependsOnItsKeysAndTheirOrderAlone) {
  const auto first = [](std::initializer_list<uint64_t> keys) { return Rng(keys).next(); };
  Rng other({1});
  other.normals(100);
  EXPECT_EQ(first({1, 2}), first({1, 2}));
  std::vector<uint64_t> draws = {first({1, 2}),
                                 first({2, 1}),
                                 first({1}),
                                 first({1, 0}),
                                 first({0, 1}),
                                 first({2}),
                                 first({1, 3}),
                                 first({1, 2, 0})};
  std::sort(draws.begin(), draws.end());
  EXPECT_EQ(std::unique(draws.begin(), draws.end()), draws.end());
}

// Five standard errors of each moment.
TEST(RngTest, UniformHasTheMomentsOfTheUnitInterval) {
  constexpr int64_t kDraws = 200000;
  Rng rng({1});
  double low = 1, high = 0;
  const Moments m = moments_of(kDraws, [&] {
    const double x = rng.uniform();
    low = std::min(low, x), high = std::max(high, x);
    return x;
  });
  const double root = std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(m.mean, 1.0 / 2, 5 * std::sqrt(1.0 / 12) / root);
  EXPECT_NEAR(m.second, 1.0 / 3, 5 * std::sqrt(1.0 / 5 - 1.0 / 9) / root);
  EXPECT_GE(low, 0);
  EXPECT_LT(low, 1e-3);
  EXPECT_GT(high, 0.999);
  EXPECT_LT(high, 1);
}

TEST(RngTest, NormalHasTheMomentsOfTheStandardNormal) {
  constexpr int64_t kDraws = 200000;
  Rng rng({2});
  const Moments m = moments_of(kDraws, [&] { return rng.normal(); });
  const double root = std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(m.mean, 0, 5 / root);
  EXPECT_NEAR(m.second, 1, 5 * std::sqrt(2.0) / root);
  EXPECT_NEAR(m.third, 0, 5 * std::sqrt(15.0) / root);
  EXPECT_NEAR(m.fourth, 3, 5 * std::sqrt(96.0) / root);
}

TEST(RngTest, NeighbouringNormalsAndStreamsAreUncorrelated) {
  constexpr int64_t kDraws = 100000;
  Rng a({3, 0}), b({3, 1}), c({4});
  const double bound = 5 / std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(moments_of(kDraws, [&] { return c.normal() * c.normal(); }).mean, 0, bound);
  EXPECT_NEAR(moments_of(kDraws, [&] { return a.normal() * b.normal(); }).mean, 0, bound);
}

TEST(RngTest, NormalsAreTheSameNumbersOneByOne) {
  Rng a({5}), b({5});
  for (const float value : a.normals(7)) EXPECT_EQ(value, static_cast<float>(b.normal()));
}

TEST(RngTest, BelowHitsEveryValueEquallyOften) {
  constexpr int64_t kBound = 7, kDraws = 70000;
  Rng rng({6});
  std::map<int64_t, int64_t> count;
  for (int64_t i = 0; i < kDraws; ++i) ++count[rng.below(kBound)];
  ASSERT_EQ(count.size(), static_cast<size_t>(kBound));
  double chi_square = 0;
  for (const auto& [value, times] : count) {
    EXPECT_TRUE(value >= 0 && value < kBound) << value;
    chi_square += std::pow(static_cast<double>(times) - 1e4, 2) / 1e4;
  }
  EXPECT_LT(chi_square, 22.5);  // 0.1 % point of chi-square with 6 degrees of freedom
  EXPECT_EQ(rng.below(1), 0);
}

TEST(RngTest, ShuffleMakesEveryOrderEquallyOften) {
  constexpr int64_t kDraws = 24000;
  Rng rng({7});
  std::map<std::vector<int64_t>, int64_t> count;
  for (int64_t i = 0; i < kDraws; ++i) {
    std::vector<int64_t> items = {0, 1, 2, 3};
    rng.shuffle(items);
    ++count[items];
  }
  ASSERT_EQ(count.size(), 24U);
  double chi_square = 0;
  for (const auto& [order, times] : count) {
    chi_square += std::pow(static_cast<double>(times) - 1e3, 2) / 1e3;
  }
  EXPECT_LT(chi_square, 49.7);  // 0.1 % point with 23 degrees of freedom
}

}  // namespace
}  // namespace rebound
