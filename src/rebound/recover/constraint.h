// The constraint ladder: what a perturbation must leave alone, one record per rung.
//
// With S the defended features, A_S their encoder columns [d_model, n] and D_S their decoder rows:
//   none                nothing but the norm cap
//   penalty             loss + penalty_weight * |p_S(h_def + delta) - p_S(h_def)|^2      (soft C2)
//   encoder_published   gradient g <- g - A (A^T A + ridge I)^-1 A^T g, then Adam; delta itself
//                       leaves the null space again. Kept as a reproduction of the paper.
//   encoder             delta <- (I - Q Q^T) delta after every step, Q an orthonormal basis of A_S
//   encoder_decoder     the same with Q spanning A_S and the rows D_S
// (method.md section 2.)
//
// Laws of a projection, tested for every rung that has one: idempotent; feasible points do not
// move; the result is feasible; distances never grow.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rebound/sae/sae.h"

namespace rebound {

enum class Span { kNone, kEncoder, kEncoderDecoder };

struct Rung {
  std::string name;
  double penalty_weight = 0;       // 0: no objective term
  double gradient_ridge = 0;       // 0: no gradient filter
  Span projected = Span::kNone;    // what the iterate is kept orthogonal to
};

const std::vector<Rung>& ladder();
const Rung& rung_of(const std::string& name);  // ConfigError naming the rungs

// Orthonormal basis of the columns of `vectors` [d, n], by SVD in float64; directions with singular
// values below 1e-7 of the largest are dropped. [d, rank] float32.
at::Tensor orthonormal_basis(const at::Tensor& vectors);

class Constraint {
 public:
  // Throws NumericError when nothing is left free.
  Constraint(const Rung& rung, const Sae& sae, const Sae::Features& features);

  const Rung& rung() const { return rung_; }
  // d_model minus the rank of what is projected out.
  int64_t free_dimension() const;
  bool projects() const { return basis_.defined(); }
  const at::Tensor& basis() const { return basis_; }  // [d_model, rank]; undefined without one

  at::Tensor project(const at::Tensor& delta) const;          // [..., d_model]
  at::Tensor filter_gradient(const at::Tensor& gradient) const;
  // Penalty term of the loss from pre-activation shifts [batch, rows, n]; [batch].
  at::Tensor penalty(const at::Tensor& pre_shift) const;
  // |A_S^T delta| / (|A_S|_2 |delta|), of all rows together; 0 for delta = 0.
  double violation(const at::Tensor& delta) const;

 private:
  Rung rung_;
  at::Tensor basis_;
  at::Tensor ridge_filter_;     // [d_model, d_model]
  at::Tensor encoder_columns_;  // [d_model, n]
  double encoder_norm_ = 0;     // largest singular value
};

}  // namespace rebound
