// Where a recovery travels (method.md section 5). At the perturbed site, with x the defended value
// and dz = encode(x + delta) - encode(x), delta is the sum of three parts:
//
//   clamped      dz_S W_dec         the defended features
//   other        dz_~S W_dec        the rest of the dictionary
//   residual     what is left       outside the dictionary
//
// Each is replayed alone under the same clamp, knocked out of delta, replayed at the norm of delta,
// and given its Shapley value of the score over the parts. Under rungs that project on the
// encoder columns `clamped` is zero by construction and is no evidence.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "rebound/recover/problem.h"

namespace rebound {

enum class Part { kClamped, kOther, kResidual };
inline constexpr std::array kParts = {Part::kClamped, Part::kOther, Part::kResidual};
std::string to_string(Part part);

struct PartFigures {
  std::vector<double> replay, knock_out, norm_matched;  // scores, per example
  std::vector<double> shapley;                           // shares of score(delta) - score(0)
  std::vector<double> norm;
};

struct PathAttribution {
  std::array<PartFigures, 3> parts;            // in the order of kParts
  std::vector<double> full, none;              // scores with delta and without
  std::vector<double> random;                  // a random direction of delta's norm
  std::vector<double> top_replay, top_knock_out;  // the top_k other features alone, and without them
  Sae::Features top_features;  // other features by mean |dz_j| |W_dec[j]|, largest first

  // Part with the largest mean Shapley value.
  Part main_route() const;
};

struct PathOptions {
  int64_t top_k = 20;
  uint64_t seed = 0;
};

PathAttribution attribute_path(const Problem& problem, const at::Tensor& delta, const PathOptions& options);

}  // namespace rebound
