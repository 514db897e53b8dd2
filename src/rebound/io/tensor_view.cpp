#include "rebound/io/tensor_view.h"

#include <array>
#include <limits>

namespace rebound {
namespace {

constexpr std::array kTypes = {
    DTypeInfo{DType::kF32, "F32", 1, 4},       DTypeInfo{DType::kF16, "F16", 1, 2},
    DTypeInfo{DType::kBF16, "BF16", 1, 2},     DTypeInfo{DType::kF64, "F64", 1, 8},
    DTypeInfo{DType::kI8, "I8", 1, 1},         DTypeInfo{DType::kI16, "I16", 1, 2},
    DTypeInfo{DType::kI32, "I32", 1, 4},       DTypeInfo{DType::kI64, "I64", 1, 8},
    DTypeInfo{DType::kU8, "U8", 1, 1},         DTypeInfo{DType::kU16, "U16", 1, 2},
    DTypeInfo{DType::kU32, "U32", 1, 4},       DTypeInfo{DType::kU64, "U64", 1, 8},
    DTypeInfo{DType::kBool, "BOOL", 1, 1},     DTypeInfo{DType::kQ8_0, "Q8_0", 32, 34},
    DTypeInfo{DType::kQ4_0, "Q4_0", 32, 18},   DTypeInfo{DType::kQ4_1, "Q4_1", 32, 20},
    DTypeInfo{DType::kQ5_0, "Q5_0", 32, 22},   DTypeInfo{DType::kQ5_1, "Q5_1", 32, 24},
    DTypeInfo{DType::kQ4_K, "Q4_K", 256, 144}, DTypeInfo{DType::kQ5_K, "Q5_K", 256, 176},
    DTypeInfo{DType::kQ6_K, "Q6_K", 256, 210},
};

constexpr bool is_in_enum_order() {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (static_cast<size_t>(kTypes[i].dtype) != i) return false;
  }
  return kTypes.back().dtype == DType::kQ6_K;
}
static_assert(is_in_enum_order());

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

}  // namespace

const DTypeInfo& dtype_info(DType dtype) { return kTypes[static_cast<size_t>(dtype)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeInfo& info : kTypes) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

bool is_quantized(DType dtype) { return dtype_info(dtype).block_elements > 1; }

std::optional<int64_t> element_count(std::span<const int64_t> shape) {
  // Sizes are bounded even when another axis is 0, so that partial products never overflow.
  int64_t count = 1;
  bool is_empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      is_empty = true;
      continue;
    }
    if (count > kMax / size) return std::nullopt;
    count *= size;
  }
  return is_empty ? 0 : count;
}

std::optional<size_t> byte_count(DType dtype, std::span<const int64_t> shape) {
  const DTypeInfo& info = dtype_info(dtype);
  const std::optional<int64_t> elements = element_count(shape);
  const int64_t innermost = shape.empty() ? 1 : shape.back();
  if (!elements || innermost % info.block_elements != 0) return std::nullopt;
  const int64_t blocks = *elements / info.block_elements;
  if (blocks > kMax / info.block_bytes) return std::nullopt;
  return static_cast<size_t>(blocks * info.block_bytes);
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

std::string quoted_name(std::string_view name) {
  constexpr size_t kLongest = 80;
  std::string text = "\"";
  for (const char c : name.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return text + (name.size() > kLongest ? "...\"" : "\"");
}

}  // namespace rebound
