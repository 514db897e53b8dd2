// A perturbation as the sum of three parts, and what each of them does (method.md section 5):
//
//   clamped    along what the clamps protect
//   other      the rest of the dictionary
//   residual   what is left            outside the dictionary
//
// Each is replayed alone under the same clamps, knocked out of the whole, replayed at the norm of
// the whole (a part below 1e-4 of it is rounding and stays zero), and given its Shapley value of
// the score over the parts. How a perturbation is split is the business of path_attribution.h (one
// site) and cross_path.h (several).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

namespace rebound {

enum class Part { kClamped, kOther, kResidual };
inline constexpr std::array kParts = {Part::kClamped, Part::kOther, Part::kResidual};
std::string to_string(Part part);

// Perturbations of one shape, [batch, ...].
struct PathSplit {
  at::Tensor whole;
  std::array<at::Tensor, 3> parts;  // in the order of kParts; they sum to `whole`
  at::Tensor top;                   // the largest other features' share of kOther
  at::Tensor random;                // a random direction of the norm of `whole`
};

struct PartFigures {
  std::vector<double> replay, knock_out, norm_matched;  // scores, per example
  std::vector<double> shapley;                          // shares of score(whole) - score(0)
  std::vector<double> norm;
};

struct PathFigures {
  std::array<PartFigures, 3> parts;  // in the order of kParts
  std::vector<double> full, none;    // scores with the whole and without
  std::vector<double> random;
  std::vector<double> top_replay, top_knock_out;  // `top` alone, and the whole without it

  // Part with the largest mean Shapley value.
  Part main_route() const;
};

// What must be scored: first nothing at all, then the sums of parts and the other perturbations.
std::vector<at::Tensor> path_variants(const PathSplit& split);

// Figures from the scores of path_variants, [batch] each.
PathFigures path_figures(const PathSplit& split, const std::vector<at::Tensor>& scores);

// x scaled, each example by itself, to the norm of the reference; zero stays zero. [batch, ...]
at::Tensor with_norm_of(const at::Tensor& x, const at::Tensor& reference);

}  // namespace rebound
