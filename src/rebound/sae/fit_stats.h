// How well an SAE fits activations, over counted tokens (sinks.h); sums are in double.
//
//   FVU        = sum |x - out|^2 / sum |x - mean x|^2
//   L0         = latents on per token
//   norm ratio = mean |out| / mean |x|
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

#include "rebound/sae/sae.h"

namespace rebound {

// Shares of latents by firing frequency: never, then decades below 1e-4, 1e-3, 1e-2, 1e-1, 1.
constexpr size_t kFiringBins = 6;
using FiringHistogram = std::array<int64_t, kFiringBins>;

// Above this firing frequency a latent is called dense.
constexpr double kDenseFrequency = 0.1;

class FitStats {
 public:
  explicit FitStats(const Sae& sae);

  void add(const at::Tensor& x);  // [tokens, d_in]

  int64_t tokens() const { return tokens_; }
  double fvu() const;
  double l0() const;
  double norm_ratio() const;
  at::Tensor mean() const;              // [d_in] of x
  at::Tensor firing_frequency() const;  // [d_sae]
  int64_t dead_latents() const;         // never on
  int64_t dense_latents() const;
  FiringHistogram firing_histogram() const;

 private:
  const Sae& sae_;
  int64_t tokens_ = 0;
  double error_sum_ = 0, square_sum_ = 0, norm_in_ = 0, norm_out_ = 0;
  at::Tensor x_sum_;         // [d_in] double
  at::Tensor firing_count_;  // [d_sae] int64
};

}  // namespace rebound
