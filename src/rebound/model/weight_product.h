// Products with the model's weights, by oneDNN where the build has it: on few rows OpenBLAS spends
// its time packing the weights (docs/decisions/0015-onednn-products.md). One row is
// one_row_product's.
#pragma once

#include <ATen/core/Tensor.h>

namespace rebound {

// x W^T for x [m, k] float32 and W [n, k] float32 or bfloat16: [m, n] float32, the factors rounded
// to W's dtype first. Differentiable in x as often as wanted; W takes no gradient, unless it asks
// for one, which LibTorch's own product then serves, as it does other dtypes and devices.
at::Tensor weight_product(const at::Tensor& x, const at::Tensor& weight);

// Of this build, "oneDNN 2.6.3" or "LibTorch".
const char* weight_product_library();

}  // namespace rebound
