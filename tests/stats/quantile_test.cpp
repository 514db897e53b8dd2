#include "rebound/stats/quantile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(QuantileTest, InterpolatesLinearlyBetweenRanks) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.1), 1.3);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_DOUBLE_EQ(quantile({7}, 0.3), 7);
}

TEST(QuantileTest, InfiniteValuesSortLastAndDoNotBecomeNaN) {
  EXPECT_DOUBLE_EQ(quantile({kInfinity, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({kInfinity, kInfinity, 1, kInfinity}, 0.5), kInfinity);
  EXPECT_EQ(quantile({1, kInfinity}, 0.5), kInfinity);
}

TEST(QuantileTest, NoValuesOrANaNGiveNaN) {
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
  EXPECT_TRUE(std::isnan(mean({})));
  EXPECT_TRUE(std::isnan(median({1, NAN, 3})));
}

TEST(QuantileTest, RefusesAnOrderOutsideTheUnitInterval) {
  EXPECT_THROW(quantile({1}, 1.5), ConfigError);
}

TEST(CensoredMedianTest, IsExactIfFewerThanHalfAreCensored) {
  const CensoredMedian result = censored_median({1, 30, 3, NAN, 2}, 20);
  EXPECT_FALSE(result.is_censored);
  EXPECT_DOUBLE_EQ(result.value, 3);
  EXPECT_EQ(result.n, 5);
  EXPECT_EQ(result.n_censored, 2);
  EXPECT_EQ(to_string(result), "3");
}

TEST(CensoredMedianTest, IsMoreThanTheCapIfHalfAreCensored) {
  const CensoredMedian result = censored_median({1, 2, kInfinity, 21}, 20);
  EXPECT_TRUE(result.is_censored);
  EXPECT_EQ(to_string(result), "> 20");
}

TEST(CensoredMedianTest, AValueAtTheCapCounts) {
  EXPECT_EQ(to_string(censored_median({20, 20, 1}, 20)), "20");
  EXPECT_EQ(censored_median({20.000001907348633, 20, 1}, 20).n_censored, 0);
  EXPECT_EQ(censored_median({20.01, 20, 1}, 20).n_censored, 1);
  EXPECT_EQ(to_string(censored_median({}, 20)), "-");
}

}  // namespace
}  // namespace rebound
