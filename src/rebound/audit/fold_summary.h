// What an audit of facts adds to its summary.
#pragma once

#include "rebound/audit/summarise.h"

namespace rebound {

// Non-leaky recovery: a shared perturbation fitted on the flips of four folds and tested on the
// fifth, at the headline's budget (else the largest of the shared ones). `folds` at the top level
// and in the headline:
// [{"name", "fold", "budget", "n", "recovered", "wrong_rule_n", "wrong_rule", "random"}], the last
// a rate; headline.held_out_recovery is their sum with its interval (recovery_interval).
// Nothing without folds.
void add_folds(AuditSummary& summary, const SummaryInput& input);

// `accuracy` of the top level (measure_fact_accuracy) and `left_out`; its counts among the
// controls.
void add_fact_accuracy(AuditSummary& summary, const Json& accuracy, const Json& left_out);

}  // namespace rebound
