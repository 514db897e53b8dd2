#include "rebound/sae/evaluate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

using Replacement = std::function<at::Tensor(const at::Tensor& resid)>;

// Contexts that say what the norm of a sink is: as many as are run at once without a memory limit.
constexpr int64_t kLimitContexts = 8;

double sink_limit(const Transformer& model, const Site& site, const at::Tensor& contexts) {
  std::vector<at::Tensor> norms;
  for (int64_t i = 0; i < std::min(contexts.size(0), kLimitContexts); ++i) {
    const TokenBatch one = batch_of_contexts(contexts.slice(0, i, i + 1));
    norms.push_back(activations_at(model, site, one).resid.norm(2, {-1}).flatten());
  }
  return at::cat(norms).median().item<double>() * kSinkNormRatio;
}

Hooks hooks_for(const Site& site, const Replacement& replacement, double limit) {
  Hooks hooks;
  if (!replacement) return hooks;
  hooks.edits[site] = [replacement, limit](const at::Tensor& resid, const Rows& rows) {
    return keep_sinks(resid, replacement(resid), counted_tokens(resid, rows, limit));
  };
  return hooks;
}

// Sum over all next-token predictions of the batch, in nats.
double cross_entropy_sum(const Transformer& model, const TokenBatch& batch, const Hooks& hooks) {
  const at::NoGradGuard no_grad;
  const at::Tensor resid = model.run(batch, {.hooks = hooks}).resid;
  double sum = 0;
  for (int64_t i = 0; i < batch.size(); ++i) {
    const at::Tensor logits = model.logits(resid[i].slice(0, 0, -1));
    const at::Tensor next = batch.ids[i].slice(0, 1).to(logits.device());
    sum += at::cross_entropy_loss(logits, next, {}, at::Reduction::Sum).item<double>();
  }
  return sum;
}

}  // namespace

Json SaeEvaluation::to_json() const {
  return {{"tokens", tokens},
          {"sinks", sinks},
          {"fvu", fvu},
          {"l0", l0},
          {"norm_ratio", norm_ratio},
          {"ce_clean", ce_clean},
          {"ce_spliced", ce_spliced},
          {"ce_zero", ce_zero},
          {"ce_mean", ce_mean},
          {"ce_recovered", ce_recovered},
          {"dead", dead},
          {"dense", dense},
          {"firing_histogram", firing_histogram}};
}

SaeEvaluation evaluate_sae(const Sae& sae,
                           const Transformer& model,
                           const at::Tensor& contexts,
                           int64_t batch_contexts) {
  at::NoGradGuard no_grad;
  check_fits(sae, model.config());
  const Site site = parse_site(sae.config().hook_name);
  require<DataError>(contexts.size(0) > 0, "SAE evaluation: got too few tokens");
  const double limit = sink_limit(model, site, contexts);
  SaeEvaluation out;
  FitStats stats(sae);
  const auto each_batch = [&](const char* title,
                              const std::function<void(const TokenBatch&)>& use) {
    Progress progress(title, contexts.size(0));
    for (int64_t first = 0; first < contexts.size(0); first += batch_contexts) {
      const int64_t last = std::min(first + batch_contexts, contexts.size(0));
      use(batch_of_contexts(contexts.slice(0, first, last)));
      progress.update(last);
    }
  };
  each_batch("activations", [&](const TokenBatch& batch) {
    const SiteActivations at_site = activations_at(model, site, batch, limit);
    stats.add(at_site.counted());
    out.sinks += at_site.sinks();
  });
  require<DataError>(stats.tokens() > 1, "SAE evaluation: got too few tokens");

  const at::Tensor mean = stats.mean();
  const std::vector<std::pair<double*, Replacement>> runs = {
      {&out.ce_clean, nullptr},
      {&out.ce_spliced, [&](const at::Tensor& x) { return sae.decode(sae.encode(x), x); }},
      {&out.ce_zero, [](const at::Tensor& x) { return at::zeros_like(x); }},
      {&out.ce_mean, [&](const at::Tensor& x) { return mean.expand_as(x); }}};
  each_batch("cross-entropy", [&](const TokenBatch& batch) {
    for (const auto& [sum, replacement] : runs) {
      const Hooks hooks = hooks_for(site, replacement, limit);
      std::vector<double> sums(static_cast<size_t>(batch.size()));
      run_parts(batch.size(), [&](int64_t i) {
        sums[static_cast<size_t>(i)] = cross_entropy_sum(model, batch.slice(i, i + 1), hooks);
      });
      *sum += std::accumulate(sums.begin(), sums.end(), 0.0);
    }
  });
  const auto predictions = static_cast<double>(contexts.size(0) * (contexts.size(1) - 1));
  for (const auto& [sum, replacement] : runs) *sum /= predictions;

  out.tokens = stats.tokens();
  out.fvu = stats.fvu();
  out.l0 = stats.l0();
  out.norm_ratio = stats.norm_ratio();
  out.ce_recovered = (out.ce_zero - out.ce_spliced) / (out.ce_zero - out.ce_clean);
  out.dead = static_cast<double>(stats.dead_latents()) / static_cast<double>(sae.d_sae());
  out.dense = static_cast<double>(stats.dense_latents()) / static_cast<double>(sae.d_sae());
  out.firing_histogram = stats.firing_histogram();
  return out;
}

}  // namespace rebound
