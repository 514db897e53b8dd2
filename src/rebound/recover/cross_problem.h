// Recovery problems over several clamped sites, with a target answer forced (method.md sections 1, 2).
//
//   maximise the mean log-probability of the target answer over delta, delta added after the clamp at
//   every clamped site (or at the first alone) and every perturbed position, clamps live throughout
//
// delta is [batch, sites, rows, d_model]; rows are the positions that predict the answer, from the
// prompt's last one on, and all of them are protected. Under forward projection the value of a site is
//
//   y = h_def + (I - Q Q^T)(clamp(x) + delta - h_def),   x the value that reaches the site
//
// with Q spanning what the clamp reads (or reads and writes): protected readings are then those of the
// defended run by construction. y - clamp(x) is the effective perturbation; the budget caps its
// Frobenius norm over sites and rows. Without projection it is delta.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "rebound/intervene/clamp_plan.h"
#include "rebound/model/segment.h"
#include "rebound/recover/constraint.h"

namespace rebound {

// A prompt with the answer to bring back, as token ids.
struct TargetAnswer {
  std::vector<int64_t> prompt, answer;
};

// One site of the plan with its values in the defended run on the same tokens.
struct ClampedSite {
  std::shared_ptr<const Clamp> clamp;
  at::Tensor h_def;      // [batch, rows, d_model], after the clamp
  at::Tensor read_def;   // [batch, rows, n]
  at::Tensor active_def;  // [batch, rows, n], after the activation
  at::Tensor encoder_basis;          // [d_model, r], spanning the read columns
  at::Tensor encoder_decoder_basis;  // and the write rows
};

struct CrossRun {
  at::Tensor log_prob;   // [batch, rows] of the target tokens, 0 where nothing is scored
  at::Tensor score;      // [batch] its mean over scored rows
  at::Tensor is_argmax;  // [batch, rows] bool: the target is what greedy decoding would take
  at::Tensor logits;     // [batch, rows, d_vocab]
  std::vector<at::Tensor> reading;    // of each site, [batch, rows, n]
  std::vector<at::Tensor> active;     // the same after the activation; empty unless wanted
  std::vector<at::Tensor> effective;  // perturbation of each site, [batch, rows, d_model]
  std::vector<at::Tensor> clamped;    // the value that it meets: propagated, then clamped; the same shape
  at::Tensor effective_norm() const;  // [batch], over sites and rows
};

class CrossProblem {
 public:
  // Records the defended run. `most_tokens` of each answer are scored; a shorter answer is scored to
  // its end. ConfigError for a clamp after the last layer's attention.
  static CrossProblem record(const Transformer& model, std::shared_ptr<const ClampPlan> plan,
                             const std::vector<TargetAnswer>& answers, int64_t most_tokens);

  int64_t size() const { return segment_.size(); }
  int64_t n_sites() const { return static_cast<int64_t>(sites_.size()); }
  int64_t n_rows() const { return segment_.rows().position.size(1); }
  const Transformer& model() const { return *model_; }
  const ClampPlan& plan() const { return *plan_; }
  const std::vector<ClampedSite>& sites() const { return sites_; }
  const at::Tensor& is_real() const { return segment_.rows().is_real; }      // [batch, rows]
  const at::Tensor& targets() const { return targets_; }                     // [batch, rows] int64
  const std::vector<int64_t>& first_position() const { return first_position_; }  // of row 0
  at::Tensor zero_delta() const;

  // Gradients flow to delta. Perturbed rows of padding do nothing.
  CrossRun run(const at::Tensor& delta, Span projected, bool wants_active = false) const;
  // The same up to the last clamped site alone: readings and perturbations, no scores.
  CrossRun run_sites(const at::Tensor& delta, Span projected, bool wants_active = false) const;

  CrossProblem select(const at::Tensor& index) const;

  // A copy with a leak planted in it, for checks of an attack's power (method.md section 4): the
  // target's logit at row t gains gain_i (u . effective perturbation of the first site at row t), u a
  // unit vector [d_model] orthogonal to what that site's clamp reads and writes, gain [batch] such
  // that the leak alone writes the whole answer with the norm `norm` there (corrections of later
  // sites not counted).
  CrossProblem with_leak(const at::Tensor& direction, double norm) const;

 private:
  at::Tensor run_layers(const at::Tensor& delta, Span projected, bool wants_active, int64_t end, CrossRun& run) const;
  at::Tensor perturbed_value(size_t site, const at::Tensor& clamped, const at::Tensor& delta, Span projected,
                             bool wants_active, CrossRun& run) const;

  const Transformer* model_ = nullptr;
  std::shared_ptr<const ClampPlan> plan_;
  Segment segment_;
  std::vector<ClampedSite> sites_;
  at::Tensor targets_;
  std::vector<int64_t> first_position_;
  at::Tensor leak_direction_, leak_gain_;  // undefined: no leak
};

// (I - Q Q^T) x for rows x [..., d_model], twice so that rounding is projected out too.
at::Tensor project_out(const at::Tensor& x, const at::Tensor& basis);

// Orthonormal basis of what the clamp reads, or reads and writes. [d_model, r]; NumericError when nothing
// is left free.
at::Tensor protected_basis(const Clamp& clamp, Span span);

// Shifts of all sites' readings from the defended ones as one vector an example, zero on padding.
// [batch, n]
at::Tensor flat_shift(const CrossProblem& problem, const std::vector<at::Tensor>& reading);

}  // namespace rebound
