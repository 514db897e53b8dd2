// Adam's direction (Kingma and Ba, arXiv 1412.6980), with the squares given apart from the gradient so
// that a caller may average them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>

namespace rebound {

struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

struct Adam {
  at::Tensor m, v;  // moments, like the gradient

  // `step` counts from 1. What to subtract, per unit of learning rate.
  at::Tensor direction(const at::Tensor& gradient, const at::Tensor& square, int64_t step, const AdamOptions& options) {
    m = options.beta1 * m + (1 - options.beta1) * gradient;
    v = options.beta2 * v + (1 - options.beta2) * square;
    const double t = static_cast<double>(step);
    const at::Tensor m_hat = m / (1 - std::pow(options.beta1, t));
    const at::Tensor v_hat = v / (1 - std::pow(options.beta2, t));
    return m_hat / (v_hat.sqrt() + options.epsilon);
  }

  void select(const at::Tensor& index) {
    m = m.index_select(0, index);
    v = v.index_select(0, index);
  }
};

}  // namespace rebound
