// A random transformer with three clamped sites and a short prompt around a suffix of three tokens.
#pragma once

#include "cross_fixture.h"
#include "rebound/recover/input_attack.h"

namespace rebound {

using Tokens = std::vector<int64_t>;

// Clamps before the first layer, counted from the end of the sequence, and behind the last layer.
inline std::shared_ptr<const ClampPlan> edge_plan(const ModelConfig& config) {
  Rng rng({29});
  const auto direction = [&](Site site, PositionSet positions) {
    return std::make_shared<const DirectionClamp>(
        site,
        random_tensor(rng, {24}),
        DirectionClamp::Options{.edit = DirectionEdit::kAdd,
                                .strength = 0.5,
                                .positions = positions,
                                .sink_norm = 1e9});
  };
  const PositionSet listed{PositionSet::Kind::kList, {2, 6, -2, -9}};
  return std::make_shared<const ClampPlan>(
      std::vector<std::shared_ptr<const Clamp>>{direction({0, SiteKind::kResidPre}, {}),
                                                direction({2, SiteKind::kResidPre}, listed),
                                                direction({3, SiteKind::kResidPost}, {})},
      config);
}

struct SuffixSetting {
  CrossSetting cross;
  const Transformer& model = cross.model;
  SuffixedPrompt prompt;

  SuffixSetting() {
    Rng rng({41});
    prompt = {random_ids(rng, 5), random_ids(rng, 3), random_ids(rng, 2), random_ids(rng, 6)};
  }
  SuffixProblem problem(int64_t most_tokens = 4) const {
    return SuffixProblem::record(model, cross.plan, prompt, most_tokens);
  }
  SuffixProblem edge_problem() const {
    return SuffixProblem::record(model, edge_plan(model.config()), prompt, 4);
  }
};

inline Tokens joined(const std::vector<Tokens>& parts) {
  Tokens all;
  for (const Tokens& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

inline at::Tensor random_suffix(uint64_t seed, int64_t batch = 1) {
  Rng rng({seed, 9});
  return random_tensor(rng, {batch, 3, 24});
}

inline at::Tensor embedded(const SuffixProblem& problem, const Tokens& tokens) {
  return problem.model().embed(at::tensor(tokens, at::kLong)).unsqueeze(0);
}

inline double loss_of(const SuffixProblem& problem, const Tokens& tokens) {
  const at::NoGradGuard no_grad;
  return -problem.run(embedded(problem, tokens)).score.item<double>();
}

}  // namespace rebound
