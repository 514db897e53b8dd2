#include "rebound/recover/target_log_prob.h"

#include <torch/torch.h>

namespace rebound {
namespace {

class TargetLogProb : public torch::autograd::Function<TargetLogProb> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& logits, const at::Tensor& targets,
                            const at::Tensor& largest, const at::Tensor& argmax) {
    const at::Tensor softmax = at::softmax(logits, -1);
    context->save_for_backward({softmax, targets});
    // The largest probability is at least 1 / d_vocab: its logarithm is exact to rounding, a target's may not be.
    const at::Tensor log_sum = largest - softmax.gather(-1, argmax.unsqueeze(-1)).squeeze(-1).log();
    return logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - log_sum;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "score_targets: differentiable once");
    const auto saved = context->get_saved_variables();
    const at::Tensor gradient = gradients[0].unsqueeze(-1);
    const at::Tensor to_logits = (saved[0] * -gradient).scatter_add_(-1, saved[1].unsqueeze(-1), gradient);
    return {to_logits, {}, {}, {}};
  }
};

}  // namespace

TargetScores score_targets(const at::Tensor& logits, const at::Tensor& targets) {
  const auto [largest, argmax] = logits.detach().max(-1);
  return {TargetLogProb::apply(logits, targets, largest, argmax), argmax};
}

}  // namespace rebound
