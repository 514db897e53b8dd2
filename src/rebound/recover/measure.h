// What a finished perturbation did, per example (method.md section 3), and its re-check.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rebound/recover/problem.h"

namespace rebound {

// x is the perturbed value at the site, h_def the defended one; S the defended features, p pre- and
// f post-activations, all over the real rows from the first perturbed one on. NaN: not defined.
struct Measurement {
  double score = 0;          // logit[target] - logit[rival]
  double norm = 0;           // |delta|_F
  double norm_rel = 0;       // |delta|_F / |h_def|_F over perturbed rows
  double drift_pre_l2 = 0;   // |p(x) - p(h_def)|
  double drift_pre_rel = 0;  // / |p(h_def)|
  double drift_pre_rmse = 0;
  double drift_pre_linf = 0;
  double drift_post_l2 = 0;   // |f(x) - f(h_def)|
  double drift_post_rel = 0;  // / |f(h_def)|, NaN where that is ~0
  double decode_drift = 0;    // |(f(x) - f(h_def)) W_dec[S]|
  double reactivated_fraction = 0;  // of the features off in h_def, those on in x
  double floor_violation = 0;       // |relu(f(h_def) - f(x))| / |f(h_def)|, NaN where ~0
  double kl_to_base = 0;            // nats at the answer
  double answer_nll = 0;            // -log p(target); perplexity is its exp of the mean
  double cosine_to_undo = 0;        // cos(delta, h_base - h_def)
  double share_in_encoder_span = 0;  // |Q^T delta|^2 / |delta|^2, Q spanning A_S
};

struct MeasureContext {
  at::Tensor h_base;         // [batch, rows, d_model] undefended residual at the site
  at::Tensor encoder_basis;  // [d_model, rank]
};

std::vector<Measurement> measure(const Problem& problem, const at::Tensor& delta, const MeasureContext& context);

// Of each feature: |shift of its pre-activation| > threshold * std on text. Mean over rows in which
// a feature binds anywhere. [batch, n] bool.
at::Tensor binding_features(const Problem& problem, const at::Tensor& delta, const at::Tensor& pre_std);

// The scores once more by the second road: the whole model from token 0 with the defence on and
// delta added at the site; no cache, no segment. One delta per prompt. [batch]
struct RecheckInput {
  const Transformer* model = nullptr;  // float32
  TokenBatch tokens;
  std::vector<int64_t> first_position;  // of delta's row 0
};
at::Tensor recheck_scores(const Problem& problem, const at::Tensor& delta, const RecheckInput& input);

}  // namespace rebound
