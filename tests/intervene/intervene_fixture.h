// Small SAEs for the tests of this folder.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "rebound/sae/sae.h"
#include "support/tiny_model.h"

namespace rebound {

// f = ReLU(x W_enc) with features x0, x1 and x0 + x1 that write (1, 0), (0, 2) and (1/2, 1/2).
inline std::shared_ptr<const Sae> hand_sae() {
  SaeConfig config{.kind = SaeKind::kStandard, .d_in = 2, .d_sae = 3};
  config.hook_name = "blocks.0.hook_resid_pre";
  return std::make_shared<const Sae>(config,
                                     SaeWeights{at::tensor({1., 0., 1., 0., 1., 1.}).view({2, 3}),
                                                at::zeros({3}),
                                                at::tensor({1., 0., 0., 2., .5, .5}).view({3, 2}),
                                                at::zeros({2}),
                                                {}});
}

// A random SAE for tiny_transformer at blocks.2.hook_resid_pre.
inline std::shared_ptr<const Sae> random_sae(SaeKind kind = SaeKind::kJumpRelu,
                                             SaeNorm norm = SaeNorm::kNone) {
  constexpr int64_t kWidth = 24, kFeatures = 40;
  Rng rng({5});
  SaeConfig config{.kind = kind, .norm = norm, .d_in = kWidth, .d_sae = kFeatures, .k = 6};
  config.hook_name = "blocks.2.hook_resid_pre";
  return std::make_shared<const Sae>(config,
                                     SaeWeights{random_tensor(rng, {kWidth, kFeatures}, 0.3),
                                                random_tensor(rng, {kFeatures}, 0.1),
                                                random_tensor(rng, {kFeatures, kWidth}, 0.3),
                                                random_tensor(rng, {kWidth}, 0.1),
                                                random_tensor(rng, {kFeatures}, 0.1).abs()});
}

// Prompts of 5, 8 and 6 random tokens.
inline TokenBatch random_prompts() {
  Rng rng({9});
  return TokenBatch::from({random_ids(rng, 5), random_ids(rng, 8), random_ids(rng, 6)});
}

}  // namespace rebound
