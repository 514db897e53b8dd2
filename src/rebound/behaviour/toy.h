// Planted models: the answer of an audit is known by construction.
//
// A three-layer transformer whose blocks write nothing, so that the residual h of the last token
// is its embedding, at every site. With the final norm's gain at 1,
//
//   logit[correct] - logit[wrong] = w . h / rms(h),    w = W_U[correct] - W_U[wrong]
//
// Dictionary features lie in V = span(axes 0..39): decoder rows d_i nearly orthonormal, encoder
// columns a_i = another direction with a_i . d_i = 1 (cosine with d_i about .97). Axes 40..47 are
// outside: no encoder column and no decoder row touches them. There are four answers k = 0..3 with
// clamped features s_k and rivals k^1; a prompt of answer k ends in a token of its own, which
// makes s_k and no other clamped feature active (3.5..4.5). Clamping active features to -1 turns
// the sign: w . h_def lies in -2..-0.6 (tokens are drawn until it does).
//
//   kind            W_U[answer k]            what an attack without s_k's encoder column finds
//   kLeaky          d(s_k) + 1.2 u_k         u_k = axis 40 + k, outside the dictionary
//   kFeatureRouted  d(s_k) + 1.2 d(j_k)      j_k a feature that is not clamped; j_k and j_(k^1) are
//                                            on (about 4) at every prompt, so codes respond
//                                            linearly
//   kSealed         a(s_k)                   nothing: w lies in span(A_S)
//
// Blocks write nothing, and positions before the last are random: no position is special.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rebound/behaviour/prompts.h"
#include "rebound/model/transformer.h"
#include "rebound/sae/sae.h"

namespace rebound {

enum class ToyKind { kLeaky, kFeatureRouted, kSealed };

struct Toy {
  Transformer model;
  Sae sae;                        // JumpReLU, pointwise, at `site`
  PromptSet prompts;              // 48 train, 48 test, given as ids; every one is a valid flip
  std::vector<int64_t> features;  // S, to be clamped
  std::vector<int64_t> route_features;  // the planted second route of kFeatureRouted, else empty
  Site site;                            // blocks.1.hook_resid_pre
  double clamp_value = -1;              // error-preserving `set`, active features only
  double budget = 0;  // about a third of the mean residual norm; the second route needs less
};

Toy make_toy(ToyKind kind, uint64_t seed = 0);

// The most that w . delta can be: max over |delta| <= budget with basis^T delta = 0,
// = budget |(I - Q Q^T) w|. w [d]; basis Q [d, r] with orthonormal columns, or undefined for none.
double linear_best_gain(const at::Tensor& w, const at::Tensor& basis, double budget);

}  // namespace rebound
