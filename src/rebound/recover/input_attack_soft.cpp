#include <torch/torch.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/recover/input_attack.h"

namespace rebound {

void SoftSuffixOptions::validate() const {
  require<ConfigError>(behaviour_weight >= 0 && std::isfinite(behaviour_weight),
                       "SoftSuffixOptions.behaviour_weight must be >= 0, got ",
                       behaviour_weight);
  require<ConfigError>(obfuscation_weight >= 0 && std::isfinite(obfuscation_weight),
                       "SoftSuffixOptions.obfuscation_weight must be >= 0, got ",
                       obfuscation_weight);
  require<ConfigError>(behaviour_weight + obfuscation_weight > 0,
                       "SoftSuffixOptions: both weights are 0, expected one above");
  require<ConfigError>(steps >= 0, "SoftSuffixOptions.steps must be >= 0, got ", steps);
  require<ConfigError>(
      lr > 0 && std::isfinite(lr), "SoftSuffixOptions.lr must be > 0 and finite, got ", lr);
}

SuffixAttack soft_suffix(const SuffixProblem& problem, const SoftSuffixOptions& options) {
  options.validate();
  SuffixAttack attack;
  at::Tensor suffix = problem.model().embed(at::tensor(problem.start(), at::kLong)).unsqueeze(0);
  at::Tensor finite = suffix;  // the latest one whose loss is
  Adam adam{at::zeros_like(suffix), at::zeros_like(suffix)};
  while (attack.steps < options.steps) {
    const at::Tensor x = suffix.detach().requires_grad_();
    at::Tensor loss;
    {
      const at::AutoGradMode with_grad(true);
      const SuffixRun run = problem.run(x);
      loss = -options.behaviour_weight * run.score.sum();
      if (options.obfuscation_weight > 0) {
        loss = loss + options.obfuscation_weight * problem.squared_drift(run).sum();
      }
    }
    ++attack.n_runs;
    const at::Tensor gradient = torch::autograd::grad({loss}, {x})[0];
    const auto value = loss.item<double>();
    if (std::isfinite(value)) finite = suffix;
    if (!std::isfinite(value) || !gradient.isfinite().all().item<bool>()) {
      attack.termination = Termination::kNan;
      suffix = finite;
      break;
    }
    attack.loss.push_back(value);
    ++attack.steps;
    suffix = suffix -
             options.lr * adam.direction(gradient, gradient.square(), attack.steps, options.adam);
    if (options.on_progress) options.on_progress(attack.steps, value);
  }
  const at::NoGradGuard no_grad;
  const SuffixRun run = problem.run(suffix);
  ++attack.n_runs;
  attack.suffix = suffix[0].detach();
  attack.score = run.score.item<double>();
  attack.drift_rel = problem.relative_drift(run).item<double>();
  attack.is_won = run.is_won().item<bool>();
  return attack;
}

}  // namespace rebound
