#pragma once
// The norm of each example of a batch, and factors for each.
#include <torch/torch.h>

namespace rebound {

// delta [batch, ...] -> Euclidean norms [batch].
inline at::Tensor norms_of(const at::Tensor& delta) { return delta.flatten(1).norm(2, -1); }

// factor [batch] as `like` [batch, sites, rows, d_model].
inline at::Tensor per_example(const at::Tensor& factor, const at::Tensor& like) {
  return factor.view({-1, 1, 1, 1}).expand_as(like);
}

}  // namespace rebound
