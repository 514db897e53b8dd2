// The raw blocks of tools/golden/make_gguf_golden.py, made again from their generator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/io/tensor_view.h"

namespace rebound {

inline Json golden_json() {
  return read_json_file(REBOUND_SOURCE_DIR "/tests/io/golden/dequantize.json");
}

// Byte i is state_i >> 56; state_(i+1) = state_i * 6364136223846793005 + 1442695040888963407.
inline std::vector<std::byte> generated_bytes(uint64_t seed, size_t count) {
  std::vector<std::byte> bytes(count);
  uint64_t state = seed;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

// Where the 16-bit floats of a block lie.
inline std::vector<size_t> half_positions(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

inline std::vector<std::byte> golden_blocks(DType dtype, uint64_t ggml_id, size_t blocks) {
  const auto stride = static_cast<size_t>(dtype_info(dtype).block_bytes);
  std::vector<std::byte> bytes = generated_bytes(ggml_id, blocks * stride);
  const unsigned exponent = dtype == DType::kBF16 ? 0x7f80 : 0x7c00;
  for (size_t start = 0; start < bytes.size(); start += stride) {
    for (const size_t position : half_positions(dtype)) {
      std::byte& high = bytes[start + position + 1];
      const unsigned bits =
          std::to_integer<unsigned>(high) << 8 | std::to_integer<unsigned>(bytes[start + position]);
      if ((bits & exponent) == exponent) high ^= std::byte{0x40};
    }
  }
  return bytes;
}

}  // namespace rebound
