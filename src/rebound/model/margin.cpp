#include "rebound/model/margin.h"

#include <torch/torch.h>

#include <limits>

namespace rebound {
namespace {

bool wants_all_tokens(const at::Tensor& wrong) { return (wrong == kBestOther).any().item<bool>(); }

at::Tensor best_other(const at::Tensor& logits, const at::Tensor& correct) {
  const at::Tensor others =
      logits.scatter(1, correct.unsqueeze(1), -std::numeric_limits<float>::infinity());
  return std::get<0>(others.max(1));
}

// first column minus the best of the others
at::Tensor lead(const at::Tensor& columns) {
  return columns.select(1, 0) - std::get<0>(columns.slice(1, 1).max(1));
}

at::Tensor answers_of(const at::Tensor& correct, const at::Tensor& wrong) {
  return at::cat({correct.unsqueeze(1), wrong.dim() == 1 ? wrong.unsqueeze(1) : wrong}, 1);
}

}  // namespace

at::Tensor margins_of_logits(const at::Tensor& logits,
                             const at::Tensor& correct_ids,
                             const at::Tensor& wrong_ids) {
  const at::Tensor correct = correct_ids.to(logits.device()), wrong = wrong_ids.to(logits.device());
  const at::Tensor named = lead(logits.gather(1, answers_of(correct, wrong.clamp_min(0))));
  if (!wants_all_tokens(wrong)) return named;
  const at::Tensor of_all =
      logits.gather(1, correct.unsqueeze(1)).squeeze(1) - best_other(logits, correct);
  return at::where(wrong == kBestOther, of_all, named);
}

at::Tensor logit_margins(const Transformer& model,
                         const at::Tensor& resid,
                         const at::Tensor& correct,
                         const at::Tensor& wrong) {
  if (wants_all_tokens(wrong)) return margins_of_logits(model.logits(resid), correct, wrong);
  return lead(model.logits_of(resid, answers_of(correct, wrong)));
}

}  // namespace rebound
