#include "rebound/intervene/feature_attribution.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/rng.h"
#include "rebound/intervene/defence.h"
#include "rebound/model/margin.h"
#include "rebound/model/device.h"

namespace rebound {
namespace {

at::Tensor last_rows(const at::Tensor& resid, const std::vector<int64_t>& lengths) {
  const at::Tensor last = at::tensor(lengths, at::kLong).to(resid.device()) - 1;
  const at::Tensor index = last.view({-1, 1, 1}).expand({-1, 1, resid.size(2)});
  return resid.gather(1, index).squeeze(1);
}

at::Tensor difference(const Transformer& model, const at::Tensor& resid, const ScoredPrompts& prompts) {
  return logit_margins(model, last_rows(resid, prompts.tokens.lengths), prompts.correct, prompts.wrong);
}

at::Tensor part_differences(const Transformer& model, const ScoredPrompts& prompts, const Hooks& hooks) {
  return difference(model, model.run(prompts.tokens, {.hooks = hooks}).resid, prompts);
}

template <class Part>
std::vector<at::Tensor> over_parts(const ScoredPrompts& prompts, const Part& part) {
  const int64_t n = prompts.tokens.size();
  const int64_t count = (n + kAttributedAtOnce - 1) / kAttributedAtOnce;  // whatever the number of threads
  std::vector<at::Tensor> results(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    results[static_cast<size_t>(i)] = part(prompts.slice(n * i / count, n * (i + 1) / count));
  });
  return results;
}

// Sum over the prompts.
at::Tensor attribution_sum(const Transformer& model, const Sae& sae, const ScoredPrompts& prompts) {
  const at::AutoGradMode grad_mode(true);
  const Site site = parse_site(sae.config().hook_name);
  at::Tensor leaf;
  Hooks hooks;
  hooks.edits[site] = [&](const at::Tensor& value, const Rows&) {
    return leaf = value.detach().requires_grad_(true);
  };
  const at::Tensor score = part_differences(model, prompts, hooks).sum();
  require<DataError>(leaf.defined(), "SAE hook ", to_string(site), ": got a layer that the model lacks");
  const at::Tensor gradient = torch::autograd::grad({score}, {leaf})[0];
  const at::NoGradGuard no_grad;
  const at::Tensor resid = leaf.detach();
  const Rows rows = on_device(prompts.tokens, resid.device()).rows();
  const at::Tensor counted = rows.is_real & (rows.position > 0) &
                             (resid.norm(2, -1) <= sink_norm_of(resid, rows));
  const at::Tensor code = sae.encode(resid) * counted.unsqueeze(-1);            // [batch, pos, d_sae]
  const at::Tensor slope = at::matmul(gradient, sae.weights().W_dec.t());       // [batch, pos, d_sae]
  return (code * slope).sum(at::IntArrayRef{0, 1});
}

}  // namespace

ScoredPrompts ScoredPrompts::slice(int64_t first, int64_t end) const {
  return {tokens.slice(first, end), correct.slice(0, first, end), wrong.slice(0, first, end)};
}

at::Tensor logit_differences(const Transformer& model, const ScoredPrompts& prompts, const Hooks& hooks) {
  return at::cat(over_parts(prompts, [&](const ScoredPrompts& part) { return part_differences(model, part, hooks); })).cpu();
}

at::Tensor attribute_features(const Transformer& model, const Sae& sae, const ScoredPrompts& prompts) {
  const auto sums =
      over_parts(prompts, [&](const ScoredPrompts& part) { return attribution_sum(model, sae, part); });
  return at::stack(sums).sum(0) / static_cast<double>(prompts.tokens.size());
}

FeatureStatistics feature_statistics(const Transformer& model, const Sae& sae, const TokenBatch& prompts) {
  const at::NoGradGuard no_grad;
  const Site site = parse_site(sae.config().hook_name);
  RunOptions options{.hooks = {}, .stop_before_layer = site.layer + 1};
  options.hooks.capture = {site};
  const at::Tensor resid = model.run(prompts, options).activations.at(site);
  const Rows rows = on_device(prompts, resid.device()).rows();
  FeatureStatistics statistics;
  statistics.sink_norm = sink_norm_of(resid, rows);
  const at::Tensor counted = rows.is_real & (rows.position > 0) &
                             (resid.norm(2, -1) <= statistics.sink_norm);
  const at::Tensor tokens = resid.index({counted});  // [n, d_model]
  statistics.firing_rate = (sae.encode(tokens) != 0).to(at::kFloat).mean(0);
  statistics.pre_std = sae.pre_activations(tokens).std(0);
  return statistics;
}

Sae::Features top_features(const at::Tensor& attribution, int64_t count) {
  const auto [values, order] = attribution.cpu().sort(0, /*descending=*/true);
  Sae::Features features;
  for (int64_t i = 0; i < std::min(count, order.size(0)) && values[i].item<float>() > 0; ++i) {
    features.push_back(order[i].item<int64_t>());
  }
  return features;
}

Sae::Features matched_random_features(const at::Tensor& firing_rate, const Sae::Features& features,
                                      uint64_t seed) {
  const at::Tensor rates = firing_rate.cpu().contiguous();
  const float* rate = rates.data_ptr<float>();
  std::vector<int64_t> pool(static_cast<size_t>(rates.numel()));
  for (size_t i = 0; i < pool.size(); ++i) pool[i] = static_cast<int64_t>(i);
  Rng rng({seed, 0x6d617463});
  rng.shuffle(pool);  // ties are broken at random
  std::set<int64_t> taken(features.begin(), features.end());
  Sae::Features matched;
  for (const int64_t feature : features) {
    int64_t best = -1;
    for (const int64_t candidate : pool) {
      if (taken.count(candidate)) continue;
      if (best < 0 || std::abs(rate[candidate] - rate[feature]) < std::abs(rate[best] - rate[feature])) {
        best = candidate;
      }
    }
    if (best < 0) break;
    taken.insert(best);
    matched.push_back(best);
  }
  return matched;
}

}  // namespace rebound
