// One batch of recovery problems: defended prompts, who perturbs where, what counts as success.
//
//   maximise the contest's score over delta, |delta|_F <= budget, delta in the constraint set
//
// delta is [batch, rows, d_model] (per prompt) or [1, 1, d_model] (one shared vector, added at every
// perturbed row of every prompt).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "rebound/intervene/defence.h"
#include "rebound/model/segment.h"
#include "rebound/recover/constraint.h"

namespace rebound {

// after_clamp: delta is added to the clamped residual. before_clamp: the clamp sees h + delta.
enum class ThreatModel { kAfterClamp, kBeforeClamp };
std::string to_string(ThreatModel threat);
ThreatModel parse_threat_model(const std::string& text);  // ConfigError

// logit_diff: maximise logit[target] - logit[rival], without end (published).
// match_base: minimise KL(base || perturbed) at the answer; the goal is the base run's score.
enum class Objective { kLogitDiff, kMatchBase };
std::string to_string(Objective objective);
Objective parse_objective(const std::string& text);  // ConfigError

// score = logit[target] - logit[rival] at the answer; won when score > goal. Where the rival is
// kBestOther (model/margin.h) it is the best of all other tokens.
struct Contests {
  at::Tensor target, rival;  // [batch] int64
  at::Tensor goal;           // [batch] float32
};

struct Problem {
  const Transformer* model = nullptr;
  const Defence* defence = nullptr;
  Segment segment;  // of the defended run, one scored row per prompt
  ThreatModel threat = ThreatModel::kAfterClamp;
  Objective objective = Objective::kLogitDiff;
  Contests contests;
  at::Tensor base_log_probs;  // [batch, d_vocab]; kMatchBase and KL only
  at::Tensor perturbed;       // [batch, rows] bool
  at::Tensor budget;          // [batch] float32, cap on |delta|_F
  // Adds leak_gain * (leak_direction . delta) to every score (power check); [d_model], [batch].
  at::Tensor leak_direction, leak_gain;

  int64_t size() const { return segment.size(); }
  Problem select(const at::Tensor& index) const;

  // The site's value with delta in place, [batch, rows, d_model].
  at::Tensor perturbed_value(const at::Tensor& delta) const;
  struct Evaluation {
    at::Tensor score;      // [batch]
    at::Tensor loss;       // [batch], to be minimised; no constraint terms
    at::Tensor final_resid;  // [batch, d_model]
  };
  Evaluation evaluate(const at::Tensor& value, const at::Tensor& delta) const;
  // Pre-activations of S minus their defended values, zero outside real rows. [batch, rows, n]
  at::Tensor pre_shift(const at::Tensor& value) const;
};

}  // namespace rebound
