// Tensors of any stored type to float32, and float32 to the two 16-bit types.
//
// The ggml block types follow their reference in Python (package gguf, quants.py) operation by
// operation, so results are equal bit for bit; the file is compiled without fused multiply-add.
//   Q8_0 d*q   Q4_0 d*(q-8)   Q5_0 d*(q-16)   Q4_1, Q5_1 d*q+m            blocks of 32
//   Q4_K, Q5_K (d*s)*q - (dmin*m)   Q6_K (d*s)*(q-32)                     blocks of 256
// with float16 d, m, dmin and 6- or 8-bit s, m per group of 32 (Q6_K: 16).
// Plain types are converted by value; F64 and 64-bit integers round to nearest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rebound/io/tensor_view.h"

namespace rebound {

// `out` has room for tensor.elements() values, in the order of the file (row-major).
void to_float32(const TensorView& tensor, float* out);
std::vector<float> to_float32(const TensorView& tensor);

// Rows [first, first + count) only, where a row is one run along the innermost axis:
// [vocab, d_model] has vocab rows, [d] has one. DataError outside the tensor.
void rows_to_float32(const TensorView& tensor, int64_t first, int64_t count, float* out);

// Round to nearest, ties to even; too large becomes infinity, NaN stays a (quiet) NaN.
std::vector<uint16_t> to_float16(std::span<const float> values);
std::vector<uint16_t> to_bfloat16(std::span<const float> values);

}  // namespace rebound
