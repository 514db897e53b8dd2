#include "rebound/model/precision_gap.h"

#include <torch/torch.h>

#include "rebound/base/error.h"

namespace rebound {
namespace {

Activations residuals(const Transformer& model, const std::vector<int64_t>& ids) {
  RunOptions options;
  for (int64_t i = 0; i < model.n_layers(); ++i) {
    options.hooks.capture.insert({i, SiteKind::kResidPost});
  }
  return model.run(TokenBatch::from({ids}), options).activations;
}

}  // namespace

PrecisionGap precision_gap(const Transformer& rounded,
                           const Transformer& exact,
                           const std::vector<int64_t>& ids) {
  require<DataError>(!ids.empty(), "precision: got no token, expected at least one");
  const at::NoGradGuard no_grad;
  const Activations a = residuals(rounded, ids), b = residuals(exact, ids);
  PrecisionGap gap;
  gap.precision = rounded.precision();
  for (int64_t i = 0; i < exact.n_layers(); ++i) {
    const Site site{i, SiteKind::kResidPost};
    gap.last = ((a.at(site) - b.at(site)).norm() / b.at(site).norm()).item<double>();
    if (i > 0 && gap.last <= gap.largest) continue;
    gap.largest = gap.last;
    gap.at = site;
  }
  return gap;
}

Json PrecisionGap::to_json() const {
  return {{"dtype", precision},
          {"largest_relative_difference", largest},
          {"site", to_string(at)},
          {"last_layer", last}};
}

}  // namespace rebound
