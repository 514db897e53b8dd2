// Where a recovery at one clamped site travels (method.md section 5). With x the defended value there
// and dz = encode(x + delta) - encode(x), delta is the sum of three parts (path_parts.h):
//
//   clamped      dz_S W_dec         the defended features
//   other        dz_~S W_dec        the rest of the dictionary
//   residual     what is left       outside the dictionary
//
// Under rungs that project on the encoder columns `clamped` is zero by construction and is no
// evidence.
#pragma once

#include "rebound/recover/path_parts.h"
#include "rebound/recover/problem.h"

namespace rebound {

struct PathAttribution : PathFigures {
  Sae::Features top_features;  // other features by mean |dz_j| |W_dec[j]|, largest first
};

struct PathOptions {
  int64_t top_k = 20;
  uint64_t seed = 0;
};

PathAttribution attribute_path(const Problem& problem, const at::Tensor& delta, const PathOptions& options);

}  // namespace rebound
