// float32 -> float16 and bfloat16 (dequantize.h), apart from the block types.
#include <bit>
#include <cmath>
#include <limits>

#include "io/golden_blocks.h"
#include "io/io_fixture.h"
#include "rebound/io/dequantize.h"

namespace rebound {
namespace {

std::vector<uint16_t> all_bits() {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  return bits;
}

std::vector<float> widened(DType dtype, const std::vector<uint16_t>& bits) {
  return to_float32({"bits",
                     dtype,
                     {static_cast<int64_t>(bits.size())},
                     reinterpret_cast<const std::byte*>(bits.data()),
                     2 * bits.size()});
}

uint16_t half(float value) { return to_float16(std::vector<float>{value})[0]; }
uint16_t bfloat(float value) { return to_bfloat16(std::vector<float>{value})[0]; }

TEST(RoundingTest, EveryHalfSurvivesTheWayToFloatAndBack) {
  const std::vector<float> floats = widened(DType::kF16, all_bits());
  const std::vector<uint16_t> back = to_float16(floats);
  for (size_t i = 0; i < back.size(); ++i) {
    if (std::isnan(floats[i])) {
      EXPECT_GT(back[i] & 0x7fff, 0x7c00) << i;
    } else {
      ASSERT_EQ(back[i], i);
    }
  }
}

TEST(RoundingTest, EveryBfloatSurvivesTheWayToFloatAndBack) {
  const std::vector<float> floats = widened(DType::kBF16, all_bits());
  const std::vector<uint16_t> back = to_bfloat16(floats);
  for (size_t i = 0; i < back.size(); ++i) {
    if (std::isnan(floats[i])) {
      EXPECT_GT(back[i] & 0x7fff, 0x7f80) << i;
    } else {
      ASSERT_EQ(back[i], i);
    }
  }
}

TEST(RoundingTest, EveryHalfHasTheValueOfItsFormula) {
  const std::vector<float> floats = widened(DType::kF16, all_bits());
  for (int i = 0; i < 0x7c00; ++i) {
    const int exponent = i >> 10, mantissa = i & 1023;
    const double expected =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(floats[static_cast<size_t>(i)], expected) << i;
    ASSERT_EQ(floats[static_cast<size_t>(i | 0x8000)], -expected) << i;
  }
  EXPECT_EQ(floats[0x7c00], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(floats[0x7e00]));
}

TEST(RoundingTest, TiesGoToTheEvenHalf) {
  EXPECT_EQ(half(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(half(1.0f + 0x3p-11f), 0x3c02);
  EXPECT_EQ(half(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);
  EXPECT_EQ(half(0x1p-25f), 0x0000);  // half of the smallest subnormal
  EXPECT_EQ(half(0x3p-25f), 0x0002);
  EXPECT_EQ(half(65519.0f), 0x7bff);
  EXPECT_EQ(half(65520.0f), 0x7c00);
  EXPECT_EQ(half(-0.0f), 0x8000);
}

TEST(RoundingTest, TiesGoToTheEvenBfloat) {
  EXPECT_EQ(bfloat(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(bfloat(1.0f + 0x3p-8f), 0x3f82);
  EXPECT_EQ(bfloat(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(bfloat(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // NaN stays NaN
}

TEST(RoundingTest, EqualsNumpyAndThePythonPackage) {
  const Json golden = golden_json().at("rounded");
  const auto bytes = generated_bytes(99, 40'000);
  std::vector<float> floats(bytes.size() / 4);
  ASSERT_EQ(floats.size(), golden.at("count").get<size_t>());
  for (size_t i = 0; i < floats.size(); ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, bytes.data() + 4 * i, 4);
    floats[i] = std::bit_cast<float>((bits & 0x807fffffu) | (100 + (bits >> 23) % 45) << 23);
  }
  const auto sha256 = [](const std::vector<uint16_t>& values) {
    return sha256_of_text({reinterpret_cast<const char*>(values.data()), 2 * values.size()});
  };
  EXPECT_EQ(sha256(to_float16(floats)), golden.at("F16").at("sha256").get<std::string>());
  EXPECT_EQ(sha256(to_bfloat16(floats)), golden.at("BF16").at("sha256").get<std::string>());
}

}  // namespace
}  // namespace rebound
