// Which requests a defence flips: answered on topic without it, refused with it.
#pragma once

#include <string>
#include <vector>

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/store.h"

namespace rebound {

struct AnswerFlips {
  std::vector<AnswerFlip> refused;
  int64_t n_broken = 0;                 // answered without the defence, degenerate with it
  std::vector<StoredExample> examples;  // every test request, answers redacted
};

// `base_answers`: of the undefended model to the subject's test requests. Flips point into
// `subject`.
AnswerFlips find_answer_flips(const AnswerSubject& subject,
                              const std::vector<std::vector<int64_t>>& base_answers,
                              const ClampPlan& plan,
                              int64_t max_new_tokens);

// The flips that a run stored when it began, of those found again: batches and random draws count
// on them. `kept`: its examples; `where` they are. DataError where a flip's answer without or with
// the defence is another one now.
AnswerFlips as_stored(AnswerFlips found,
                      const std::vector<StoredExample>& kept,
                      const std::string& where);

}  // namespace rebound
