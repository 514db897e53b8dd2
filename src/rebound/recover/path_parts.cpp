#include "rebound/recover/path_parts.h"

#include <torch/torch.h>

#include <limits>
#include <numeric>

#include "rebound/recover/norms.h"

namespace rebound {
namespace {

constexpr size_t kSubsets = 8;  // bit i of a subset: part i is in

std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor values = tensor.cpu().to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

// At the norm of the whole; a part that is nothing but rounding beside it stays nothing.
at::Tensor norm_matched(const at::Tensor& part, const at::Tensor& whole) {
  constexpr double kRounding = 1e-4;  // of the whole
  std::vector<int64_t> sizes(static_cast<size_t>(part.dim()), 1);
  sizes[0] = part.size(0);
  const at::Tensor is_part = norms_of(part) > kRounding * norms_of(whole);
  return at::where(is_part.view(sizes), with_norm_of(part, whole), at::zeros_like(part));
}

at::Tensor sum_of(const PathSplit& split, size_t subset) {
  at::Tensor sum = at::zeros_like(split.whole);
  for (size_t i = 0; i < split.parts.size(); ++i) {
    if (subset & (1u << i)) sum = sum + split.parts[i];
  }
  return sum;
}

std::array<at::Tensor, 3> shapley_values(const std::vector<at::Tensor>& value) {
  std::array<at::Tensor, 3> shares;
  for (size_t i = 0; i < 3; ++i) {
    const size_t j = (i + 1) % 3, k = (i + 2) % 3;
    const auto gain = [&](size_t before) {
      return value[before | (1u << i)].to(at::kDouble) - value[before].to(at::kDouble);
    };
    shares[i] =
        gain(0) / 3 + gain(1u << j) / 6 + gain(1u << k) / 6 + gain((1u << j) | (1u << k)) / 3;
  }
  return shares;
}

}  // namespace

std::string to_string(Part part) {
  switch (part) {
    case Part::kClamped:
      return "clamped features";
    case Part::kOther:
      return "other features";
    default:
      return "outside the dictionary";
  }
}

at::Tensor with_norm_of(const at::Tensor& x, const at::Tensor& reference) {
  std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
  sizes[0] = x.size(0);
  return x * (norms_of(reference) / norms_of(x).clamp_min(1e-12)).view(sizes);
}

std::vector<at::Tensor> path_variants(const PathSplit& split) {
  std::vector<at::Tensor> variants;
  for (size_t subset = 0; subset < kSubsets; ++subset) variants.push_back(sum_of(split, subset));
  for (const at::Tensor& part : split.parts) variants.push_back(norm_matched(part, split.whole));
  variants.push_back(split.top);
  variants.push_back(split.whole - split.top);
  variants.push_back(split.random);
  return variants;
}

PathFigures path_figures(const PathSplit& split, const std::vector<at::Tensor>& scores) {
  const size_t all = kSubsets - 1, after_parts = kSubsets + split.parts.size();
  const std::array<at::Tensor, 3> shares = shapley_values(scores);
  PathFigures figures;
  figures.none = to_vector(scores[0]);
  figures.full = to_vector(scores[all]);
  for (size_t i = 0; i < split.parts.size(); ++i) {
    figures.parts[i] = {to_vector(scores[1u << i]),
                        to_vector(scores[all ^ (1u << i)]),
                        to_vector(scores[kSubsets + i]),
                        to_vector(shares[i]),
                        to_vector(norms_of(split.parts[i]))};
  }
  figures.top_replay = to_vector(scores[after_parts]);
  figures.top_knock_out = to_vector(scores[after_parts + 1]);
  figures.random = to_vector(scores[after_parts + 2]);
  return figures;
}

Part PathFigures::main_route() const {
  size_t best = 0;
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < parts.size(); ++i) {
    const double total = std::accumulate(parts[i].shapley.begin(), parts[i].shapley.end(), 0.0);
    if (total > largest) {
      largest = total;
      best = i;
    }
  }
  return kParts[best];
}

}  // namespace rebound
