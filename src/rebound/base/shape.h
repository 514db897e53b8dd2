// Shape contracts: check_shape("resid", resid, {{"batch"}, {"pos"}, {"d_model", 576}}).
// The axis vocabulary stands in ARCHITECTURE.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace rebound {

struct Axis {
  std::string_view name;
  int64_t size = -1;  // -1: any
};

// Throws DataError "resid: got [2, 7, 512], expected [batch, pos, d_model=576]".
void check_shape(std::string_view what, const at::Tensor& tensor, const std::vector<Axis>& axes);

}  // namespace rebound
