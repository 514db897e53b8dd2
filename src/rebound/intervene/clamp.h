// A clamp: an edit of one residual site together with what it protects.
//
// The protected readings are affine in the residual where the SAE has no input norm:
// read(x) = x A + b, so that x may move along everything orthogonal to A unseen.
#pragma once

#include <ATen/core/Tensor.h>

#include "rebound/base/json.h"
#include "rebound/model/hooks.h"
#include "rebound/model/site.h"

namespace rebound {

class Clamp {
 public:
  virtual ~Clamp() = default;

  virtual const Site& site() const = 0;
  // value [batch, rows, d_model] -> the same, clamped; differentiable. Attention sinks stay as they are.
  virtual at::Tensor apply(const at::Tensor& value, const Rows& rows) const = 0;

  // Pre-activations of the protected features, or coordinates along protected directions. [..., n]
  virtual at::Tensor read(const at::Tensor& value) const = 0;
  // The same after the activation function. [..., n]
  virtual at::Tensor read_active(const at::Tensor& value) const = 0;
  virtual at::Tensor read_columns() const = 0;  // A, [d_model, n]
  virtual at::Tensor write_rows() const = 0;    // directions in which the edit writes, [m, d_model]
  // Whether a residual orthogonal to A always leaves read_active alone (not so for TopK SAEs and
  // under an input norm).
  virtual bool is_affine() const = 0;

  virtual Json to_json() const = 0;
};

}  // namespace rebound
