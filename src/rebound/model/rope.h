// Rotary positions: pairs (i, i + rotary_dim / 2) of a head turn by position * frequency_i.
//
//   frequency_i = theta^(-2 i / rotary_dim), divided as RopeScaling says
//
// yarn (Peng et al. 2023, arXiv:2309.00071, section 3.2, as transformers counts it): a pair turns
// r times over the original length at i(r) = rotary_dim ln(original / (2 pi r)) / (2 ln theta), and
//
//   ramp_i      = (i - i(beta_fast)) / (i(beta_slow) - i(beta_fast)), clipped to 0 .. 1
//   frequency_i = frequency_i * (1 - ramp_i + ramp_i / factor)
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rebound/model/config.h"

namespace rebound {

// What yarn and longrope multiply attention by when their file does not say: 0.1 m ln(factor) + 1
// with m = 1, and sqrt(1 + ln(factor) / ln(original length)); 1 for factors up to 1.
double yarn_attention(double factor, double mscale = 1);
double longrope_attention(double factor, int64_t original);

// [rotary_dim / 2]
std::vector<double> rope_frequencies(double theta, int64_t rotary_dim, const RopeScaling& scaling);

struct RopeTable {
  at::Tensor cos, sin;  // [max positions, rotary_dim / 2] float32

  RopeTable() = default;
  // `scale` multiplies both (RopeScaling::attention_factor).
  RopeTable(const std::vector<double>& frequencies,
            int64_t max_positions,
            at::Device device,
            double scale = 1);

  // heads [batch, rows, heads, d_head], position [batch, rows] int64. Dimensions from rotary_dim on
  // stay as they are.
  at::Tensor rotate(const at::Tensor& heads, const at::Tensor& position) const;
};

}  // namespace rebound
