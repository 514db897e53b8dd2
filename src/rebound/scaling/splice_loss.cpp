#include "rebound/scaling/splice_loss.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/base/shape.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

constexpr int64_t kBatch = 8;  // contexts, as in evaluate_sae: the sink rule looks at a batch

double mean_loss(const Transformer& model, const at::Tensor& context, const Hooks& hooks) {
  const at::NoGradGuard no_grad;
  const TokenBatch batch = batch_of_contexts(context.unsqueeze(0));
  const at::Tensor resid = model.run(batch, {.hooks = hooks}).resid[0];
  const at::Tensor logits = model.logits(resid.slice(0, 0, -1));
  const double sum =
      at::cross_entropy_loss(logits, batch.ids[0].slice(0, 1), {}, at::Reduction::Sum)
          .item<double>();
  return sum / static_cast<double>(context.size(0) - 1);
}

template <class Edit>
Hooks hooks_at(const Site& site, Edit edit) {
  Hooks hooks;
  hooks.edits[site] = [edit](const at::Tensor& resid, const Rows& rows) {
    return keep_sinks(resid, edit(resid), counted_tokens(resid, rows));
  };
  return hooks;
}

}  // namespace

std::vector<double> context_losses(const Transformer& model,
                                   const at::Tensor& contexts,
                                   const Hooks& hooks) {
  check_shape("contexts", contexts, {{"batch"}, {"pos"}});
  require<DataError>(contexts.size(0) > 0 && contexts.size(1) > 1,
                     "contexts: got ",
                     contexts.size(0),
                     " of ",
                     contexts.size(1),
                     " tokens, expected at least one of two");
  std::vector<double> losses(static_cast<size_t>(contexts.size(0)));
  Progress progress("cross-entropy", contexts.size(0));
  for (int64_t first = 0; first < contexts.size(0); first += kBatch) {
    const int64_t last = std::min(first + kBatch, contexts.size(0));
    run_parts(last - first, [&](int64_t i) {
      losses[static_cast<size_t>(first + i)] = mean_loss(model, contexts[first + i], hooks);
    });
    progress.update(last);
  }
  return losses;
}

Hooks splice_hooks(const Sae& sae, const ModelConfig& model) {
  check_fits(sae, model);
  return hooks_at(parse_site(sae.config().hook_name),
                  [&sae](const at::Tensor& x) { return sae.decode(sae.encode(x), x); });
}

Hooks ablation_hooks(const Site& site, const at::Tensor& value) {
  return hooks_at(site, [value](const at::Tensor& x) { return value.expand_as(x); });
}

at::Tensor mean_activation(const Transformer& model, const Site& site, const at::Tensor& contexts) {
  check_shape("contexts", contexts, {{"batch"}, {"pos"}});
  at::Tensor sum = at::zeros({model.d_model()}, at::kDouble);
  int64_t tokens = 0;
  for (int64_t first = 0; first < contexts.size(0); first += kBatch) {
    const int64_t last = std::min(first + kBatch, contexts.size(0));
    const at::Tensor counted =
        activations_at(model, site, batch_of_contexts(contexts.slice(0, first, last))).counted();
    sum = sum + counted.sum(0, /*keepdim=*/false, at::kDouble);
    tokens += counted.size(0);
  }
  require<DataError>(tokens > 0, "mean activation: got no token that counts");
  return (sum / static_cast<double>(tokens)).to(at::kFloat);
}

}  // namespace rebound
