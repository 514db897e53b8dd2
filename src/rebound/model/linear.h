// Pieces of the block that files of this layer share: a matrix product in the weight's dtype,
// norms, soft caps.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "rebound/model/config.h"
#include "rebound/model/flops.h"
#include "rebound/model/matrix.h"

namespace rebound {

// y = x W^T + b, the product in the weight's dtype (float32 for stored rows), the rest in float32.
// `bias` may be undefined.
// Differs from HF: with 16-bit weights HF adds the bias before it rounds.
inline at::Tensor linear(const at::Tensor& x, const Matrix& weight, const at::Tensor& bias = {}) {
  FlopCount::add(2 * x.numel() * weight.size(0));
  const auto sizes = x.sizes();
  std::vector<int64_t> out_sizes(sizes.begin(), sizes.end() - 1);
  out_sizes.push_back(weight.size(0));
  const at::Tensor y = weight.product(x.reshape({-1, weight.size(1)})).view(out_sizes);
  return bias.defined() ? y + bias : y;
}

inline at::Tensor rms_normalized(const at::Tensor& x, double eps) {
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + eps);
}

inline at::Tensor normalized(const at::Tensor& x, const ModelConfig& config) {
  if (config.norm == NormKind::kRms) return rms_normalized(x, config.rms_norm_eps);
  return at::layer_norm(x, {x.size(-1)}, {}, {}, config.rms_norm_eps);
}

// `bias` may be undefined.
inline at::Tensor with_gain(const at::Tensor& normed,
                            const at::Tensor& gain,
                            const at::Tensor& bias) {
  const at::Tensor scaled = normed * gain;
  return bias.defined() ? scaled + bias : scaled;
}

// c tanh(x / c); a cap of 0 is none.
inline at::Tensor soft_capped(const at::Tensor& x, double cap) {
  return cap > 0 ? cap * at::tanh(x / cap) : x;
}

}  // namespace rebound
