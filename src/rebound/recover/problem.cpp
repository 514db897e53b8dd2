#include "rebound/recover/problem.h"

#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/model/margin.h"

namespace rebound {

std::string to_string(ThreatModel threat) {
  return threat == ThreatModel::kAfterClamp ? "after_clamp" : "before_clamp";
}

ThreatModel parse_threat_model(const std::string& text) {
  if (text == "after_clamp") return ThreatModel::kAfterClamp;
  if (text == "before_clamp") return ThreatModel::kBeforeClamp;
  throw ConfigError(concat("threat_model: got \"", text, "\", expected after_clamp or before_clamp"));
}

std::string to_string(Objective objective) {
  return objective == Objective::kLogitDiff ? "logit_diff" : "match_base";
}

Objective parse_objective(const std::string& text) {
  if (text == "logit_diff") return Objective::kLogitDiff;
  if (text == "match_base") return Objective::kMatchBase;
  throw ConfigError(concat("objective: got \"", text, "\", expected logit_diff or match_base"));
}

Problem Problem::select(const at::Tensor& examples) const {
  Problem part = *this;
  const at::Tensor index = examples.to(segment.resid().device());
  part.segment = segment.select(index);
  for (at::Tensor* tensor : {&part.contests.target, &part.contests.rival, &part.contests.goal,
                             &part.base_log_probs, &part.perturbed, &part.budget, &part.leak_gain}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, index);
  }
  return part;
}

at::Tensor Problem::perturbed_value(const at::Tensor& delta) const {
  const at::Tensor placed = delta * perturbed.unsqueeze(-1);
  if (threat == ThreatModel::kAfterClamp) return segment.resid() + placed;
  return defence->apply(segment.resid_before_edit() + placed, segment.rows());
}

Problem::Evaluation Problem::evaluate(const at::Tensor& value, const at::Tensor& delta) const {
  const at::Tensor final_resid = segment.run(value).squeeze(1);
  at::Tensor score = logit_margins(*model, final_resid, contests.target, contests.rival);
  if (leak_gain.defined()) {
    const at::Tensor placed = (delta * perturbed.unsqueeze(-1)).sum(1);
    score = score + leak_gain * at::matmul(placed, leak_direction);
  }
  at::Tensor loss = -score;
  if (objective == Objective::kMatchBase) {
    const at::Tensor log_probs = at::log_softmax(model->logits(final_resid), -1);
    loss = (base_log_probs.exp() * (base_log_probs - log_probs)).sum(-1);
  }
  return {score, loss, final_resid};
}

at::Tensor Problem::pre_shift(const at::Tensor& value) const {
  const Sae::Features& features = defence->features();
  const at::Tensor before = defence->sae().pre_activations(segment.resid(), features);
  const at::Tensor after = defence->sae().pre_activations(value, features);
  return (after - before) * segment.rows().is_real.unsqueeze(-1);
}

}  // namespace rebound
