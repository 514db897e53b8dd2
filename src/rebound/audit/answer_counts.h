// The feature-count sweep: the same push with ever more features, the valid flips found anew at each.
//
// At K the first K features of each SAE are clamped, what a site adds having the norm of the
// defence's; the headline row then attacks the flips of that defence.
#pragma once

#include <functional>

#include "rebound/audit/answer_defence.h"
#include "rebound/audit/answer_rows.h"
#include "rebound/audit/store.h"

namespace rebound {

struct CountSweepInput {
  const AnswerAuditSpec& spec;
  const AnswerSubject& subject;
  const ChosenDefence& defence;
  const std::vector<std::vector<int64_t>>& base_answers;
};

// Every K of the spec's `feature_counts`; batches already in the store are not repeated.
// `before_batch` is called before each and may throw to interrupt.
void sweep_feature_counts(const CountSweepInput& input, Store& store, const std::function<void()>& before_batch);

// [{"features", "n_valid_refused", "n_valid_broken", "recovered", "base_like", "strict_base_like",
// "drift_pre_rel", "drift_generation_rel", "norm"}], counts and means.
Json summarise_feature_counts(const AnswerAuditSpec& spec, const Store& store);

}  // namespace rebound
