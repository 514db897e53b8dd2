// LSMR (Fong and Saunders, arXiv 1006.0758): the x of least norm that minimises |A x - b|, for a batch
// of independent operators known by their products alone. A A^T may be singular.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace rebound {

struct LinearOperator {
  std::function<at::Tensor(const at::Tensor&)> times;            // [batch, n] -> [batch, m]
  std::function<at::Tensor(const at::Tensor&)> transpose_times;  // [batch, m] -> [batch, n]
};

struct LsmrOptions {
  int64_t max_iterations = 30;
  double tolerance = 1e-6;  // ends when |A^T r| <= tolerance * its start, for every example
};

struct LsmrResult {
  at::Tensor x;  // [batch, n]
  int64_t iterations = 0;
};

LsmrResult lsmr(const LinearOperator& a, const at::Tensor& b, const LsmrOptions& options);

}  // namespace rebound
