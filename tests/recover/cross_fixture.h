// Cross-layer problems on a random transformer: three clamped sites, prompts and answers of
// different lengths.
#pragma once

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <memory>

#include "rebound/base/parallel.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/recover/cross_solver.h"
#include "support/tiny_model.h"

namespace rebound {

inline const bool kCrossIsSingleThreaded = [] {
  at::set_num_threads(1);
  set_blas_threads(1);
  return true;
}();

inline std::shared_ptr<const Sae> cross_sae() {
  constexpr int64_t kWidth = 24, kFeatures = 40;
  Rng rng({5});
  SaeConfig config{.kind = SaeKind::kJumpRelu, .d_in = kWidth, .d_sae = kFeatures};
  config.hook_name = "blocks.2.hook_resid_pre";
  return std::make_shared<const Sae>(
      config, SaeWeights{random_tensor(rng, {kWidth, kFeatures}, 0.3), random_tensor(rng, {kFeatures}, 0.1),
                         random_tensor(rng, {kFeatures, kWidth}, 0.3), random_tensor(rng, {kWidth}, 0.1),
                         random_tensor(rng, {kFeatures}, 0.1).abs()});
}

struct CrossSetting {
  Transformer model = tiny_transformer(3);
  std::shared_ptr<const ClampPlan> plan;
  std::vector<TargetAnswer> answers;

  CrossSetting() {
    Rng rng({11});
    const auto direction = [&](int64_t layer, DirectionEdit edit) {
      return std::make_shared<const DirectionClamp>(
          Site{layer, SiteKind::kResidPre}, random_tensor(rng, {24}),
          DirectionClamp::Options{.edit = edit, .strength = 0.5, .positions = {}, .sink_norm = 1e9});
    };
    FeatureEdit edit{.features = {3, 8, 21}, .kind = EditKind::kScale, .value = 3};
    std::vector<std::shared_ptr<const Clamp>> clamps = {
        direction(3, DirectionEdit::kAblate),
        std::make_shared<const Defence>(cross_sae(), std::vector<FeatureEdit>{edit}, 1e9),
        direction(1, DirectionEdit::kAdd)};
    plan = std::make_shared<const ClampPlan>(std::move(clamps), model.config());
    for (const auto& [prompt, answer] : {std::pair{6, 5}, std::pair{9, 5}, std::pair{4, 3}}) {
      answers.push_back({random_ids(rng, prompt), random_ids(rng, answer)});
    }
  }

  CrossProblem problem() const { return CrossProblem::record(model, plan, answers, 5); }
};

// Directions that are ablated: what they read of a defended run is rounding.
inline std::shared_ptr<const ClampPlan> ablating_plan(const ModelConfig& config) {
  Rng rng({31});
  std::vector<std::shared_ptr<const Clamp>> clamps;
  for (const int64_t layer : {1, 2}) {
    clamps.push_back(std::make_shared<const DirectionClamp>(
        Site{layer, SiteKind::kResidPre}, random_tensor(rng, {24}),
        DirectionClamp::Options{
            .edit = DirectionEdit::kAblate, .strength = 1, .positions = {}, .sink_norm = 1e9}));
  }
  return std::make_shared<const ClampPlan>(std::move(clamps), config);
}

inline at::Tensor random_delta(const CrossProblem& problem, uint64_t seed = 1, double scale = 0.3) {
  Rng rng({seed, 4});
  return random_tensor(rng, problem.zero_delta().sizes().vec(), scale);
}

}  // namespace rebound
