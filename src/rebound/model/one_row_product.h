// One row times a weight: a token of one answer. A matrix library packs the weight first,
// which takes longer than to read it once (docs/decisions/0015-onednn-products.md).
#pragma once

#include <ATen/core/Tensor.h>

namespace rebound {

// Whether this CPU has the instructions (AVX2 and FMA).
bool has_one_row_product();

// x W^T for x [1, k] float32 and W [n, k] float32 or bfloat16, contiguous, both on the CPU: [1, n]
// float32; x rounded to W's dtype first, sums in float32. Only where has_one_row_product().
at::Tensor one_row_product(const at::Tensor& x, const at::Tensor& weight);

}  // namespace rebound
