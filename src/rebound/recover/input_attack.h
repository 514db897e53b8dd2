// Attackers at the input (method.md section 1, threat model `input`): a suffix to the user's
// content, as embeddings or as tokens, that brings the base model's own answer back. Activations
// are not touched; every clamp of the plan is live at every position, the suffix included.
//
//   before | suffix | after | answer        answer: the target, forced
//
// Rows are the positions that predict the answer. Drift compares, row by row, the protected
// readings under the suffix with those of the defended run on before | after | answer, the request
// as it was.
//
//   soft_suffix   embeddings, Adam on
//                 behaviour_weight * -score + obfuscation_weight * squared_drift
//   gcg           tokens, greedy coordinate gradient (Zou et al., arXiv 2307.15043) as in nanoGCG
//
// One prompt at a time; runs may go on in several threads. Keys and values of `before` are computed
// once: a run costs the rows from the suffix on, and only answer rows leave the last layer and go
// through the head.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "rebound/intervene/clamp_plan.h"
#include "rebound/model/segment.h"
#include "rebound/recover/adam.h"
#include "rebound/recover/solver.h"

namespace rebound {

struct SuffixedPrompt {
  std::vector<int64_t> before;  // up to the end of the user's content
  std::vector<int64_t> suffix;  // where the search starts; its length is that of the suffix
  std::vector<int64_t> after;   // the rest of the chat prompt
  std::vector<int64_t> answer;
};

struct SuffixRun {
  at::Tensor log_prob;              // [batch, rows] of the target tokens
  at::Tensor score;                 // [batch] its mean
  at::Tensor is_argmax;             // [batch, rows] bool: the target is the greedy choice
  std::vector<at::Tensor> reading;  // of each site, before the activation, [batch, rows, n]
  at::Tensor is_won() const;        // [batch] bool: every target token is the greedy choice
};

class SuffixProblem {
 public:
  // Records both defended runs. `most_tokens` of the answer are scored. `model` must outlive the
  // problem. Throws ConfigError for most_tokens < 1, DataError for an empty suffix, answer or rest
  // of the prompt, too many tokens or an unknown one.
  static SuffixProblem record(const Transformer& model,
                              std::shared_ptr<const ClampPlan> plan,
                              const SuffixedPrompt& prompt,
                              int64_t most_tokens);

  const Transformer& model() const { return *model_; }
  const std::vector<int64_t>& start() const { return prompt_.suffix; }
  int64_t n_suffix() const { return static_cast<int64_t>(prompt_.suffix.size()); }
  int64_t n_rows() const { return targets_.size(0); }
  // Of each site in the defended run without the suffix. [rows, n]
  const std::vector<at::Tensor>& read_def() const { return read_def_; }

  // suffix [batch, n_suffix, d_model], embeddings; gradients flow to it. A batch gives what singles
  // give.
  SuffixRun run(const at::Tensor& suffix) const;

  // |shift| / |defended|, all sites and rows together; [batch]. NaN where the defended readings are
  // next to nothing (drift_scale.h).
  at::Tensor relative_drift(const SuffixRun& run) const;
  // The norm above which a defended reading is something, all sites and rows together.
  double least_reading() const;
  // Mean over sites of |shift|^2 / |defended|^2; [batch]. |defended| counts at least 1e-6 times the
  // norm of the defended residual, since a reading that a clamp removes is nothing but rounding.
  at::Tensor squared_drift(const SuffixRun& run) const;

  // before | start | after: with `hooks`, what an answer under a soft suffix is generated from.
  std::vector<int64_t> prompt_tokens() const;
  // The plan's edits, and `suffix` [n_suffix, d_model] in place of the start's embeddings.
  Hooks hooks(const at::Tensor& suffix) const;

 private:
  void record_defended(const std::vector<int64_t>& forced);

  const Transformer* model_ = nullptr;
  std::shared_ptr<const ClampPlan> plan_;
  SuffixedPrompt prompt_;
  Segment segment_;
  at::Tensor tail_;     // [1, after + rows - 1, d_model] embeddings behind the suffix
  at::Tensor targets_;  // [rows] int64
  std::vector<at::Tensor> read_def_;
  std::vector<double> least_norm_;  // of each site's defended reading in squared_drift
  double square_scale_ = 0;         // of the readings, see drift_scale.h
};

struct SuffixAttack {
  at::Tensor suffix;            // [n_suffix, d_model]
  std::vector<int64_t> tokens;  // of a hard suffix, else empty
  double score = 0;             // mean log-probability of the target
  double drift_rel = 0;         // SuffixProblem::relative_drift, perhaps NaN
  bool is_won = false;          // every target token is the greedy choice
  Termination termination = Termination::kMaxSteps;
  int64_t steps = 0;         // updates made
  int64_t n_runs = 0;        // runs of one suffix, those for gradients included
  std::vector<double> loss;  // soft: before each update; gcg: where the search stands after it
};

struct SoftSuffixOptions {
  // Changes results. The released pair of weights is not known: callers sweep them.
  double behaviour_weight = 1;    // of -score, in nats a token
  double obfuscation_weight = 1;  // of the squared relative drift
  int64_t steps = 120;
  double lr = 0.01;
  AdamOptions adam;
  // Changes nothing.
  std::function<void(int64_t steps, double loss)> on_progress;

  void validate() const;  // ConfigError
};

// Takes every step and returns where the last one ends; no early stop. A loss or gradient that is
// not finite ends it with the suffix of the last finite loss.
SuffixAttack soft_suffix(const SuffixProblem& problem, const SoftSuffixOptions& options);

struct GcgOptions {
  // Changes results. Numbers are nanoGCG's defaults.
  int64_t max_steps = 250;
  int64_t search_width = 512;  // candidates a step, each with one token replaced
  int64_t top_k = 256;         // replacements considered at each position
  // false: goes on from the step's best candidate, worse or not (nanoGCG's buffer_size 0).
  // true: goes on from the best suffix so far (any other buffer_size, as nanoGCG only ever takes
  // its buffer's first entry).
  bool keeps_best = false;
  // [d_vocab] bool, tokens that may be put in; undefined: all. nanoGCG leaves out special tokens
  // and those whose text is not printable ASCII.
  at::Tensor is_allowed;
  // Whether a suffix may be tried, for one whether its text encodes to the same tokens; null: all
  // may.
  std::function<bool(const std::vector<int64_t>&)> filter;
  StopRule stop = StopRule::kAtGoal;  // the goal: SuffixRun::is_won
  uint64_t seed = 0;
  // Changes cost only.
  int64_t candidates_at_once = 8;  // in a batch; batches run on several threads
  std::function<void(int64_t steps, double loss)> on_progress;

  void validate() const;  // ConfigError
};

// The suffix of the lowest loss (-score) ever scored, or the one that reached the goal. Differs
// from nanoGCG: replacements are drawn without repetition, so that no candidate is scored twice; a
// step whose candidates are all refused changes nothing (nanoGCG throws). ConfigError for a start
// that the filter refuses and for an `is_allowed` without tokens, DataError for one of another
// shape.
SuffixAttack gcg(const SuffixProblem& problem, const GcgOptions& options);

}  // namespace rebound
