#include "rebound/io/dequantize.h"

#include <bit>
#include <charconv>

#include "io/golden_blocks.h"
#include "io/io_fixture.h"

namespace rebound {
namespace {

std::string hex_bits(float value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", std::bit_cast<uint32_t>(value));
  return text;
}

TensorView blocks_view(DType dtype, Shape shape, const std::vector<std::byte>& bytes) {
  return {"blocks", dtype, std::move(shape), bytes.data(), bytes.size()};
}

// One half float 2.0 (bits 0x4000), then zeros up to the size of a block.
std::string block_with_scale_two(DType dtype, size_t position = 0) {
  std::string block(static_cast<size_t>(dtype_info(dtype).block_bytes), '\0');
  block[position + 1] = 0x40;
  return block;
}

std::vector<float> unpack(DType dtype, const std::string& block) {
  const auto bytes = as_span(block);
  return to_float32({"x", dtype, {dtype_info(dtype).block_elements}, bytes.data(), bytes.size()});
}

class GgmlTypeTest : public testing::TestWithParam<std::string> {};

TEST_P(GgmlTypeTest, EqualsThePythonPackageBitForBit) {
  const Json golden = golden_json().at("dequantized").at(GetParam());
  const DType dtype = dtype_from_name(GetParam()).value();
  const auto blocks = golden.at("blocks").get<int64_t>();
  const auto bytes = golden_blocks(dtype, golden.at("ggml_id"), static_cast<size_t>(blocks));
  const auto values =
      to_float32(blocks_view(dtype, {blocks, dtype_info(dtype).block_elements}, bytes));
  for (const auto& [index, bits] : golden.at("samples").items()) {
    EXPECT_EQ(hex_bits(values.at(std::stoul(index))), bits.get<std::string>())
        << "element " << index;
  }
  const std::string_view raw_values(reinterpret_cast<const char*>(values.data()),
                                    values.size() * sizeof(float));
  EXPECT_EQ(sha256_of_text(raw_values), golden.at("sha256").get<std::string>());
}

TEST_P(GgmlTypeTest, RowsOneByOneEqualTheWhole) {
  const DType dtype = dtype_from_name(GetParam()).value();
  const int64_t rows = 3, length = 2 * dtype_info(dtype).block_elements;
  const auto bytes = golden_blocks(dtype, 1, static_cast<size_t>(2 * rows));
  const TensorView tensor = blocks_view(dtype, {rows, length}, bytes);
  const std::vector<float> whole = to_float32(tensor);
  std::vector<float> parts(whole.size());
  for (int64_t row = 0; row < rows; ++row) {
    rows_to_float32(tensor, row, 1, parts.data() + row * length);
  }
  EXPECT_EQ(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    GgmlTypeTest,
    testing::Values("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"),
    [](const auto& test) { return test.param; });

TEST(DequantizeTest, OneQ4_0BlockByHand) {
  std::string block = block_with_scale_two(DType::kQ4_0);
  block[2] = static_cast<char>(0x9f);  // element 0: 15 - 8 = 7, element 16: 9 - 8 = 1
  const std::vector<float> values = unpack(DType::kQ4_0, block);
  EXPECT_EQ(values[0], 14.0f);
  EXPECT_EQ(values[16], 2.0f);
  EXPECT_EQ(values[1], -16.0f);
}

TEST(DequantizeTest, OneQ6_KBlockByHand) {
  std::string block = block_with_scale_two(DType::kQ6_K, 208);
  block[192] = 3;  // scale of elements 0..15
  block[0] = 5;    // low bits of element 0
  block[128] = 3;  // upper bits of element 0: 48
  const std::vector<float> values = unpack(DType::kQ6_K, block);
  EXPECT_EQ(values[0], 6.0f * (5 + 48 - 32));
  EXPECT_EQ(values[1], 6.0f * -32);
  EXPECT_EQ(values[16], 0.0f);
}

TEST(DequantizeTest, PlainTypesConvertByValue) {
  EXPECT_EQ(unpack(DType::kF32, raw(-1.5f)), std::vector<float>{-1.5f});
  EXPECT_EQ(unpack(DType::kF64, raw(0.1)), std::vector<float>{0.1f});
  EXPECT_EQ(unpack(DType::kI8, raw(int8_t{-7})), std::vector<float>{-7});
  EXPECT_EQ(unpack(DType::kU8, raw(uint8_t{200})), std::vector<float>{200});
  EXPECT_EQ(unpack(DType::kI16, raw(int16_t{-300})), std::vector<float>{-300});
  EXPECT_EQ(unpack(DType::kU16, raw(uint16_t{60000})), std::vector<float>{60000});
  EXPECT_EQ(unpack(DType::kI32, raw(int32_t{-70000})), std::vector<float>{-70000});
  EXPECT_EQ(unpack(DType::kU32, raw(uint32_t{4000000000})), std::vector<float>{4e9f});
  EXPECT_EQ(unpack(DType::kI64, raw(int64_t{-5})), std::vector<float>{-5});
  EXPECT_EQ(unpack(DType::kU64, raw(uint64_t{1} << 63)), std::vector<float>{0x1p63f});
  EXPECT_EQ(unpack(DType::kBool, raw(uint8_t{2})), std::vector<float>{1});
}

TEST(DequantizeTest, DataMayBeUnaligned) {
  const std::string bytes = "x" + raw(3.25f);
  const auto data = as_span(bytes).subspan(1);
  EXPECT_EQ(to_float32(TensorView{"x", DType::kF32, {1}, data.data(), 4}),
            std::vector<float>{3.25f});
}

TEST(DequantizeTest, ScalarsAndEmptyTensorsWork) {
  EXPECT_EQ(to_float32(view_of("s", {}, {2.5f})), std::vector<float>{2.5f});
  EXPECT_TRUE(to_float32(TensorView{"e", DType::kF16, {0, 4}, nullptr, 0}).empty());
  rows_to_float32(TensorView{"e", DType::kF32, {4, 0}, nullptr, 0}, 0, 0, nullptr);
}

TEST(DequantizeTest, RowsOutsideTheTensorAreRefused) {
  const std::vector<float> values(6);
  const TensorView tensor = view_of("w", {2, 3}, values);
  std::vector<float> out(6);
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{-1, 1},
                                     {0, 3},
                                     {2, 1},
                                     {0, -1},
                                     {INT64_MAX, 1},
                                     {1, INT64_MAX}}) {
    const std::string message =
        message_of<DataError>([&] { rows_to_float32(tensor, first, count, out.data()); });
    expect_contains(message, "expected a range within 2");
  }
}

TEST(DequantizeTest, BytesThatDoNotFitTheShapeAreRefused) {
  const std::vector<float> values(5);
  expect_contains(message_of<DataError>([&] {
                    to_float32(view_of("w", {2, 3}, values));
                  }),
                  "tensor \"w\": got 20 bytes, expected 24 for F32 [2, 3]");
}

}  // namespace
}  // namespace rebound
