// Activation x gradient attribution of a score to SAE features (the published selection):
//
//   a_j = mean over prompts of  sum over positions  f_j(p) * (d score / d h_p) . W_dec[j]
//
// Position 0 and attention sinks do not count.
#pragma once

#include <vector>

#include "rebound/model/transformer.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct ScoredPrompts {
  TokenBatch tokens;
  at::Tensor correct;  // [batch] int64
  at::Tensor wrong;    // [batch] int64; kBestOther (model/margin.h): the best of all other tokens

  ScoredPrompts slice(int64_t first, int64_t end) const;
};

// logit[correct] - logit[wrong] at the last position, [batch]. The prompts are shared out among the
// threads: hooks must treat each by itself, and are called from several threads.
at::Tensor logit_differences(const Transformer& model, const ScoredPrompts& prompts, const Hooks& hooks);

// a_j of the logit difference at the SAE's site, [d_sae].
at::Tensor attribute_features(const Transformer& model, const Sae& sae, const ScoredPrompts& prompts);

// Prompts of an attribution that are in work on one thread: a backward pass keeps about 1 MB a token
// of each.
inline constexpr int64_t kAttributedAtOnce = 8;

struct FeatureStatistics {
  at::Tensor firing_rate;  // [d_sae] share of counted tokens with f > 0
  at::Tensor pre_std;      // [d_sae] standard deviation of the pre-activation over counted tokens
  double sink_norm = 0;    // see Defence
};
// Over the tokens of `prompts`, at the SAE's site in the undefended model.
FeatureStatistics feature_statistics(const Transformer& model, const Sae& sae, const TokenBatch& prompts);

// The `count` features with the largest positive attribution, best first; fewer if fewer are
// positive.
Sae::Features top_features(const at::Tensor& attribution, int64_t count);

// For each of `features` another feature, not among them, whose firing rate is nearest to its own;
// drawn without replacement, in an order shuffled by `seed`.
Sae::Features matched_random_features(const at::Tensor& firing_rate, const Sae::Features& features, uint64_t seed);

}  // namespace rebound
