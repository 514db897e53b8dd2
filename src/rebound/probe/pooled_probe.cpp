#include "rebound/probe/pooled_probe.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"

namespace rebound {
namespace {

at::Tensor index_of(const std::vector<int64_t>& places) { return at::tensor(places, at::kLong); }

}  // namespace

at::Tensor weight_of(const LinearModel& model) {
  return at::tensor(model.weight, at::kDouble).to(at::kFloat);
}

Samples pooled_samples(const at::Tensor& pooled, const OneAgainstRest& texts) {
  const at::Tensor some = pooled.index_select(0, index_of(texts.place)).contiguous();
  const float* values = some.data_ptr<float>();
  return {
      .d = some.size(1), .x = {values, values + some.numel()}, .is_positive = texts.is_positive};
}

at::Tensor pooled_logits(const LinearModel& probe, const at::Tensor& pooled) {
  return pooled.to(at::kDouble).mv(at::tensor(probe.weight, at::kDouble)) + probe.intercept;
}

double pooled_accuracy(const LinearModel& probe,
                       const at::Tensor& pooled,
                       const OneAgainstRest& texts) {
  const at::Tensor logits = pooled_logits(probe, pooled);
  const double* values = logits.data_ptr<double>();
  int64_t right = 0;
  for (size_t i = 0; i < texts.place.size(); ++i) {
    right += (values[texts.place[i]] > 0) == texts.is_positive[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(texts.place.size());
}

at::Tensor mean_code_difference(const at::Tensor& code, const std::vector<bool>& is_positive) {
  const auto n = static_cast<int64_t>(is_positive.size());
  check_shape("pooled code", code, {{"texts", n}, {"d_sae"}});
  std::vector<int64_t> of[2];
  for (int64_t i = 0; i < n; ++i) of[is_positive[static_cast<size_t>(i)] ? 1 : 0].push_back(i);
  require<DataError>(!of[0].empty() && !of[1].empty(),
                     "labels: got ",
                     of[1].size(),
                     " positive and ",
                     of[0].size(),
                     " negative texts, expected some of both");
  const auto mean = [&](int side) {
    return code.index_select(0, index_of(of[side])).to(at::kDouble).mean(0);
  };
  return mean(1) - mean(0);
}

at::Tensor ablated_means(const Sae& sae,
                         const PooledFeatures& pooled,
                         const Sae::Features& features) {
  if (features.empty()) return pooled.residual;
  const at::Tensor code = pooled.code.index_select(1, index_of(features));
  return pooled.residual + sae.decode_delta(features, -code);
}

void require_linear_ablation(const Sae& sae) {
  require<ConfigError>(sae.config().norm == SaeNorm::kNone,
                       "tpp: the SAE normalises its input (",
                       to_string(sae.config().norm),
                       "), expected one that does not");
}

std::vector<int64_t> usable_counts(const std::vector<int64_t>& asked,
                                   const std::vector<int64_t>& defaults,
                                   int64_t d_sae) {
  std::vector<int64_t> usable;
  for (const int64_t n : asked.empty() ? defaults : asked) {
    const bool is_possible = n >= 1 && n <= d_sae;
    require<ConfigError>(is_possible || asked.empty(),
                         "n: got ",
                         n,
                         ", expected 1 to ",
                         d_sae,
                         ", the latents of the SAE");
    if (is_possible) usable.push_back(n);
  }
  std::sort(usable.begin(), usable.end());
  usable.erase(std::unique(usable.begin(), usable.end()), usable.end());
  return usable;
}

}  // namespace rebound
