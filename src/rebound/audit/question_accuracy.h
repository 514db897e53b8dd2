// How many questions a model gets right with and without the defence of their fold.
#pragma once

#include "rebound/audit/subject.h"

namespace rebound {

// {"likelihood": {"n", "before", "after", "intervals"},
//  "letters": {"n", "right_before", "strict_before", "strict_after", "identity_after",
//  "intervals"}}
// intervals: [low, high] of before and after (strict_before, strict_after), as share_of has them
// over the questions' near-duplicates. likelihood: whole options by mean log-probability. letters:
// of the first `n_letters` questions; right_before is the share over all questions and orders;
// strict: right in all 24 orders; identity_after: of the strictly right ones, those still right in
// the file's own order under the defence (what SAEBench counts). letters is null for n_letters = 0.
// Null without questions.
Json measure_question_accuracy(const Subject& subject, int64_t n_letters);

}  // namespace rebound
