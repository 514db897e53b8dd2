// Recovery of a probe's reading after features were ablated, by a perturbation of the tokens it
// pools.
//
//   logit(delta) = w . mean_t (h_def_t + delta_t) + b      t over the T tokens pooled
//   maximise  logit(delta)   subject to   |delta|_F <= B,  Q^T delta_t = 0,  delta_t = 0 but at m
//   tokens
//
// Q is an orthonormal basis of the encoder columns of the ablated features (rung `encoder`) or
// absent (rung `none`). The read-out is linear in delta, so the optimum is known: with P = I - Q
// Q^T,
//
//   best gain = B |P w| sqrt(m) / T,   at   delta_t = B P w / (|P w| sqrt(m))
//
// (each token gives P w / T, m equal parts of a Frobenius norm add as sqrt(m); method.md section
// 7). It holds for a delta added after the clamp alone. The optimiser does not use it: it is held
// against it, and the ratio of the two gains is the certificate.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/sae/sae.h"

namespace rebound {

struct PooledReadout {
  at::Tensor weight;  // [d_model] float32
  double intercept = 0;
};

// Defended residuals of some texts, padded to the longest.
struct PooledBatch {
  at::Tensor value;      // [batch, rows, d_model]
  at::Tensor is_pooled;  // [batch, rows] bool
  at::Tensor perturbed;  // [batch, rows] bool, pooled tokens all of them

  // tokens: [T, d_model] of each text. The last `perturbed` tokens of each are perturbed, 0: all.
  static PooledBatch from(const std::vector<at::Tensor>& tokens, int64_t perturbed);
};

struct PooledRecoveryOptions {
  double budget = 20;     // B
  int64_t perturbed = 0;  // m: the last so many tokens of a text; 0: all
  int64_t max_steps = 200;
  double step = 0.1;        // length of a step, of the budget
  double tolerance = 1e-6;  // ends once no gain grows by more than this share of itself
  // Changes cost only.
  int64_t batch = 32;  // texts

  void validate() const;
};

// What delta is kept orthogonal to: [d_model, rank], undefined for the rung `none`. ConfigError for
// another rung.
at::Tensor pooled_rung_basis(const std::string& rung,
                             const Sae& sae,
                             const Sae::Features& features);
// x - Q Q^T x over the last axis; exactly 0 where Q spans everything, x itself for an undefined Q.
at::Tensor project_off(const at::Tensor& x, const at::Tensor& basis);

// [batch], double: what delta adds to the logit, and the most that any feasible delta adds.
at::Tensor pooled_gain(const PooledReadout& readout,
                       const PooledBatch& batch,
                       const at::Tensor& delta);
at::Tensor best_pooled_gain(const PooledReadout& readout,
                            const PooledBatch& batch,
                            const at::Tensor& basis,
                            double budget);
// Adam with the iterate projected and capped at every step. [batch, rows, d_model]
at::Tensor maximise_pooled(const PooledReadout& readout,
                           const PooledBatch& batch,
                           const at::Tensor& basis,
                           const PooledRecoveryOptions& options);

// One rung on all valid flips. Means are over flips, NaN without any. Drift is |p(x) - p(h_def)|_2
// over the pooled tokens and the ablated features, of pre- and of post-activations.
struct PooledRecovery {
  std::string rung;
  int64_t n = 0;
  int64_t recovered = 0;          // logit > 0 again
  int64_t zero_reactivation = 0;  // recovered with no feature reactivated
  // Of the pairs (pooled token, ablated feature) off in h_def, those on afterwards.
  double reactivated_fraction = 0;
  double drift_pre = 0, drift_post = 0;
  double gain = 0;               // of the logit
  double certificate_ratio = 0;  // the least gain / best gain; NaN where the best gain is 0
  // The median of the budgets at which the best gain closes the gap to 0; infinite where none does.
  double minimal_budget = 0;
  int64_t free_dimension = 0;
};

// tokens: undefended residuals [T, d_model] of each valid flip; the ablation is made here.
PooledRecovery recover_pooled(const std::string& rung,
                              const std::vector<at::Tensor>& tokens,
                              const PooledReadout& readout,
                              const Sae& sae,
                              const Sae::Features& ablated,
                              const PooledRecoveryOptions& options);

// x with the features at 0 and the error term kept. x [..., d_model].
at::Tensor ablate(const Sae& sae, const Sae::Features& features, const at::Tensor& x);

}  // namespace rebound
