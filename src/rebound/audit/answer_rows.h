// The rows of an audit of whole answers: each attacks one batch of refused requests, lets the model
// answer under the clamps with the perturbation in place, and judges the answers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rebound/audit/answer_subject.h"
#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

// A request that the undefended model answers and the defended one refuses.
struct AnswerFlip {
  const PosedRequest* posed = nullptr;
  int64_t index = 0;  // in the subject's test requests
  std::vector<int64_t> base_answer, defended_answer;
};

struct AnswerBatch {
  const AnswerSubject* subject = nullptr;
  const AnswerAuditSpec* spec = nullptr;
  std::shared_ptr<const ClampPlan> plan;
  std::vector<AnswerFlip> flips;
  // Answers of other flips to write in place of the own one; [draw][flip]. Empty: none to take.
  std::vector<std::vector<std::vector<int64_t>>> foreign_answers;
  std::vector<std::vector<int64_t>> prompts() const;
};

struct AnswerRow {
  RowSummary head;
  std::function<std::vector<StoredResult>(const AnswerBatch&)> run;
};

// Attacks of the spec, then the controls of its headline row: clamp_only, random, inject.
std::vector<AnswerRow> answer_rows(const AnswerAuditSpec& spec);

}  // namespace rebound
