// The valid flips of one batch of prompts with all that rows share: the recorded defended and base
// runs, scores, the base distribution.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "rebound/audit/subject.h"
#include "rebound/recover/measure.h"
#include "rebound/recover/solver.h"

namespace rebound {

struct ScoredExample {
  const Prompt* prompt = nullptr;
  int64_t index = 0;  // in the prompt set
  double base_score = 0;
  double defended_score = 0;
  // The behaviour is shown without the defence and not with it. No score that is not a number tells.
  bool is_valid() const {
    return std::isfinite(base_score) && std::isfinite(defended_score) && base_score > 0 &&
           defended_score <= 0;
  }
};

// Base and defended scores in float32, in batches of `batch` prompts.
std::vector<ScoredExample> score_examples(const Subject& subject, const std::vector<Prompt>& prompts, int64_t batch);

std::vector<ScoredExample> flips_of(const std::vector<ScoredExample>& examples);

struct BatchContext {
  const Subject* subject = nullptr;
  const Defence* defence = nullptr;
  std::vector<ScoredExample> flips;
  TokenBatch tokens;
  std::vector<int64_t> first_position;
  Segment defended, base;
  at::Tensor base_log_probs;   // [n, d_vocab]
  at::Tensor defended_logits;  // [n, d_vocab]
  at::Tensor perturbed;        // [n, rows] bool
  MeasureContext measure;

  static BatchContext build(const Subject& subject, const AuditSpec& spec, std::vector<ScoredExample> flips);

  int64_t size() const { return static_cast<int64_t>(flips.size()); }
  // Correct against wrong; won when the behaviour is shown (or, for match_base, the base score is
  // reached).
  Contests recovery_contests(Objective objective) const;
  Problem problem(const Contests& contests, ThreatModel threat, Objective objective, double budget) const;
  // A problem of this context in float32; none where the search is in float32 anyway.
  std::optional<Problem> exact(const Problem& problem) const;
};

// Batches of at most `batch` consecutive examples that share one defence.
std::vector<std::vector<ScoredExample>> cut_batches(const Subject& subject, const std::vector<ScoredExample>& examples,
                                                    int64_t batch);

}  // namespace rebound
