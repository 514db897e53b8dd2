// The controls that every audit prints (method.md section 4), as rows of the same kind as attacks.
#pragma once

#include <vector>

#include "rebound/audit/rows.h"

namespace rebound {

// Controls of the headline row: clamp_only, projected_undo (encoder; encoder_decoder), random,
// random_features, unclamped, inject (unrelated answers, the other name, a gap-matched token) with
// minimal budgets, and shared deltas with a wrong-rule and a random control at each budget.
std::vector<Row> control_rows(const AuditSpec& spec);

// Targets to write in place of the correct answer.
enum class InjectTarget { kUnrelated, kOtherName, kGapMatched };

// unrelated:   answer X of the same kind, not in the prompt, must beat the wrong answer; `draw`
//              numbers the choices of one prompt. The prompt's own answer where there is no other:
//              rows leave it out
// other name:  the wrong answer must gain over the correct one as many nats as recovery must gain
// gap matched: the token whose defended logit is nearest to the correct answer's
Contests inject_contests(const BatchContext& context, InjectTarget target, int64_t draw);

}  // namespace rebound
