// Which features to clamp so that facts are forgotten: chosen for each fold on the facts of the
// others.
//
// attribution    activation x gradient of the answer's margin over the known facts to forget
//                (intervene/feature_attribution.h), the N largest
// firing_rates   SAEBench's rule (fold_rates.h)
#pragma once

#include <vector>

#include "rebound/audit/subject.h"

namespace rebound {

// Prompts, retained facts, one defence a fold and how it was chosen. Model, SAE and tokenizer are
// there. Throws ConfigError, IoError, or DataError where the model knows no fact to forget.
void load_facts(Subject& subject, const AuditSpec& spec);
void choose_fold_defences(Subject& subject, const AuditSpec& spec);

// How many facts the model knows, and of which it still knows under the defence of their fold:
// {"forget": {"n", "before", "after"}, "retain": {"n", "before", "after", "known_kept"},
//  "folds": [{"fold", "forget_known", "forget_kept", "retain_known", "retain_kept"}]}
Json measure_fact_accuracy(const Subject& subject, int64_t batch);

}  // namespace rebound
