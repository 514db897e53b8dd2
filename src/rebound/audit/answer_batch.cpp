#include "rebound/audit/answer_batch.h"

#include <torch/torch.h>

namespace rebound {

std::vector<std::vector<int64_t>> AnswerBatch::prompts() const {
  std::vector<std::vector<int64_t>> ids;
  for (const AnswerFlip& flip : flips) ids.push_back(flip.posed->ids);
  return ids;
}

std::vector<std::vector<int64_t>> AnswerBatch::base_answers() const {
  std::vector<std::vector<int64_t>> answers;
  for (const AnswerFlip& flip : flips) answers.push_back(flip.base_answer);
  return answers;
}

CrossProblem AnswerBatch::problem(const Transformer& model,
                                  const std::vector<std::vector<int64_t>>& answers) const {
  std::vector<TargetAnswer> targets;
  for (size_t i = 0; i < flips.size(); ++i) targets.push_back({flips[i].posed->ids, answers[i]});
  return CrossProblem::record(model, plan, targets, spec->target_tokens);
}

}  // namespace rebound
