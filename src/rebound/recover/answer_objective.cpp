#include <torch/torch.h>

#include <algorithm>

#include "rebound/recover/cross_solver.h"

namespace rebound {
namespace {

// Mean log-probability of the first tokens of `tokens` at the first rows. [batch]
at::Tensor opening_log_prob(const at::Tensor& log_probs, const std::vector<int64_t>& tokens, int64_t most) {
  const int64_t n = std::min<int64_t>({most, static_cast<int64_t>(tokens.size()), log_probs.size(1)});
  at::Tensor sum = at::zeros({log_probs.size(0)}, log_probs.options());
  for (int64_t row = 0; row < n; ++row) sum = sum + log_probs.select(1, row).select(1, tokens[static_cast<size_t>(row)]);
  return sum / static_cast<double>(n);
}

}  // namespace

at::Tensor AnswerObjective::value(const CrossProblem& problem, const CrossRun& run) const {
  at::Tensor value = answer * run.score;
  const bool has_openings = !refusals.empty() && (anti_refusal != 0 || first_margin != 0);
  if (prefix == 0 && first_token == 0 && !has_openings) return value;
  const int64_t n = std::min<int64_t>(prefix_tokens, run.log_prob.size(1));
  const at::Tensor is_real = problem.is_real().narrow(1, 0, n);
  const at::Tensor opening = run.log_prob.narrow(1, 0, n).sum(1) / is_real.sum(1);
  value = value + prefix * opening + first_token * run.log_prob.select(1, 0);
  if (!has_openings) return value;
  const at::Tensor log_probs = at::log_softmax(run.logits.narrow(1, 0, n), -1);
  std::vector<at::Tensor> refused, first_logits;
  for (const auto& tokens : refusals) {
    refused.push_back(opening_log_prob(log_probs, tokens, n));
    first_logits.push_back(run.logits.select(1, 0).select(1, tokens.front()));
  }
  const at::Tensor target = run.logits.select(1, 0).gather(1, problem.targets().narrow(1, 0, 1)).squeeze(1);
  return value + anti_refusal * (opening - at::stack(refused).amax(0)) +
         first_margin * (target - at::stack(first_logits).amax(0));
}

}  // namespace rebound
