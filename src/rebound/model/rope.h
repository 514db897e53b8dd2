// Rotary positions: pairs (i, i + rotary_dim / 2) of a head turn by position * frequency_i.
//
//   frequency_i = theta^(-2 i / rotary_dim), divided as RopeScaling says
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rebound/model/config.h"

namespace rebound {

// [rotary_dim / 2]
std::vector<double> rope_frequencies(double theta, int64_t rotary_dim, const RopeScaling& scaling);

struct RopeTable {
  at::Tensor cos, sin;  // [max positions, rotary_dim / 2] float32

  RopeTable() = default;
  RopeTable(const std::vector<double>& frequencies, int64_t max_positions, at::Device device);

  // heads [batch, rows, heads, d_head], position [batch, rows] int64. Dimensions from rotary_dim on
  // stay as they are.
  at::Tensor rotate(const at::Tensor& heads, const at::Tensor& position) const;
};

}  // namespace rebound
