// The requests that one unit of work of an audit of whole answers attacks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "rebound/audit/answer_subject.h"

namespace rebound {

class Store;

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
  int64_t first_flip = 0;  // how many flips of the run stand before the batch's
  const Store* store = nullptr;  // of the run, what earlier rows found; null outside a run

  std::vector<std::vector<int64_t>> prompts() const;
  std::vector<std::vector<int64_t>> base_answers() const;
  // The flips with these answers to bring back; one answer a flip.
  CrossProblem problem(const Transformer& model,
                       const std::vector<std::vector<int64_t>>& answers) const;
};

}  // namespace rebound
