#include "rebound/io/tensor_view.h"

#include <gtest/gtest.h>

namespace rebound {
namespace {

TEST(TensorViewTest, BytesAreBlocksTimesBlockSize) {
  EXPECT_EQ(byte_count(DType::kF32, Shape{2, 3}), 24u);
  EXPECT_EQ(byte_count(DType::kBool, Shape{}), 1u);
  EXPECT_EQ(byte_count(DType::kQ4_K, Shape{2, 512}), 4u * 144u);
  EXPECT_EQ(byte_count(DType::kF64, Shape{0, 7}), 0u);
}

TEST(TensorViewTest, ARowMustBeWholeBlocks) {
  EXPECT_EQ(byte_count(DType::kQ8_0, Shape{32, 31}), std::nullopt);
  EXPECT_EQ(byte_count(DType::kQ8_0, Shape{}), std::nullopt);
  EXPECT_EQ(byte_count(DType::kQ6_K, Shape{2, 128}), std::nullopt);
}

TEST(TensorViewTest, ProductsThatOverflowAreNothing) {
  constexpr int64_t kHalf = int64_t{1} << 32;
  EXPECT_EQ(element_count(Shape{kHalf, kHalf}), std::nullopt);
  EXPECT_EQ(element_count(Shape{0, kHalf, kHalf}), std::nullopt);
  EXPECT_EQ(element_count(Shape{kHalf, kHalf / 4}), int64_t{1} << 62);
  EXPECT_EQ(byte_count(DType::kF64, Shape{kHalf, kHalf / 4}), std::nullopt);
  EXPECT_EQ(element_count(Shape{-1, 2}), std::nullopt);
}

TEST(TensorViewTest, NamesAndTypesAreOneToOne) {
  for (int i = 0; i <= static_cast<int>(DType::kQ6_K); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(dtype_info(dtype).name), dtype);
  }
  EXPECT_EQ(dtype_from_name("F8_E4M3"), std::nullopt);
}

TEST(TensorViewTest, NamesInMessagesAreShortAndPrintable) {
  EXPECT_EQ(quoted_name("a\x1b[31m\n"), "\"a?[31m?\"");
  EXPECT_EQ(quoted_name(std::string(1000, 'x')).size(), 85u);
}

}  // namespace
}  // namespace rebound
