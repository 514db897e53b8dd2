#include "rebound/sae/harvest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/shape.h"
#include "rebound/model/device.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

at::Tensor resid_at(const Transformer& model, const Site& site, const TokenBatch& batch) {
  const at::NoGradGuard no_grad;
  RunOptions options;
  options.stop_before_layer = site.kind == SiteKind::kResidPre ? site.layer : site.layer + 1;
  if (site.kind == SiteKind::kResidMid) options.hooks.capture = {site};
  const RunOutput run = model.run(batch, options);
  return site.kind == SiteKind::kResidMid ? run.activations.at(site) : run.resid;
}

// Tokens in work at once on a core: what a block makes of them stays in its cache.
constexpr int64_t kTokensAtOnce = 256;

int64_t parts_of(const Transformer& model, const TokenBatch& batch) {
  const int64_t n = batch.size(), least = std::min(n, worker_count());
  if (!model.device().is_cpu()) return least;
  return std::clamp(batch.ids.numel() / kTokensAtOnce, least, n);
}

}  // namespace

at::Tensor SiteActivations::counted() const {
  return resid.reshape({-1, resid.size(-1)}).index({is_counted.reshape({-1})});
}

int64_t SiteActivations::sinks() const {
  return is_real.logical_and(is_counted.logical_not()).sum().item<int64_t>();
}

SiteActivations activations_at(const Transformer& model,
                               const Site& site,
                               const TokenBatch& batch,
                               std::optional<double> sink_limit) {
  at::NoGradGuard no_grad;
  require<ConfigError>(is_residual(site) && site.layer >= 0 && site.layer < model.n_layers(),
                       "site: got ",
                       to_string(site),
                       ", expected a residual site of layers 0..",
                       model.n_layers() - 1);
  const int64_t n = batch.size(), parts = parts_of(model, batch);
  std::vector<at::Tensor> resid(static_cast<size_t>(parts));
  run_parts(parts, [&](int64_t i) {
    resid[static_cast<size_t>(i)] =
        resid_at(model, site, batch.slice(n * i / parts, n * (i + 1) / parts));
  });
  const Rows rows = on_device(batch, model.device()).rows();
  SiteActivations out;
  out.resid = at::cat(resid);
  out.is_real = rows.is_real;
  out.is_counted =
      sink_limit ? counted_tokens(out.resid, rows, *sink_limit) : counted_tokens(out.resid, rows);
  return out;
}

TokenBatch batch_of_contexts(const at::Tensor& contexts) {
  check_shape("contexts", contexts, {{"batch"}, {"pos"}});
  TokenBatch batch;
  batch.ids = contexts.to(at::kLong);
  batch.lengths.assign(static_cast<size_t>(contexts.size(0)), contexts.size(1));
  return batch;
}

}  // namespace rebound
