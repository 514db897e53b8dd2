#pragma once
// The norm of each example of a batch.
#include <torch/torch.h>

namespace rebound {

// delta [batch, ...] -> Euclidean norms [batch].
inline at::Tensor norms_of(const at::Tensor& delta) { return delta.flatten(1).norm(2, -1); }

}  // namespace rebound
