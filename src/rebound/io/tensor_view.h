// A named tensor as it lies in a file: element type, shape, bytes. It owns nothing.
//
// Shapes are row-major with the outermost axis first, as in torch; for GGUF files that is the
// reverse of the order on disk. `data` may be unaligned: copy (dequantize.h), do not cast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rebound {

// The ggml types (from Q8_0 on) pack a run of elements of the innermost axis into a block.
enum class DType {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;   // as in safetensors and ggml: "BF16", "Q4_K"
  int64_t block_elements;  // 1 for plain types
  int64_t block_bytes;
};

const DTypeInfo& dtype_info(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
bool is_quantized(DType dtype);

using Shape = std::vector<int64_t>;  // outermost axis first; {} is a scalar

// Product of the sizes; nothing when one is negative or the product does not fit 63 bits.
std::optional<int64_t> element_count(std::span<const int64_t> shape);
// Nothing as above, or when the innermost axis is not a whole number of blocks.
std::optional<size_t> byte_count(DType dtype, std::span<const int64_t> shape);
std::string shape_text(std::span<const int64_t> shape);  // "[576, 1536]"

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;
  size_t bytes = 0;

  int64_t elements() const { return element_count(shape).value_or(0); }
};

// A name from an untrusted file, fit for a message: quoted, shortened, control bytes replaced.
std::string quoted_name(std::string_view name);

}  // namespace rebound
