#include "rebound/sae/sinks.h"

#include <ATen/ATen.h>

namespace rebound {

namespace {

at::Tensor token_norms(const at::Tensor& resid) {
  return resid.detach().to(at::kFloat).norm(2, {-1});
}

}  // namespace

at::Tensor counted_tokens(const at::Tensor& resid, const Rows& rows) {
  const at::Tensor norms = token_norms(resid);
  const at::Tensor real_norms = norms.masked_select(rows.is_real);
  if (real_norms.numel() == 0) return rows.is_real;
  const at::Tensor limit = real_norms.median() * kSinkNormRatio;
  return rows.is_real.logical_and(rows.position > 0).logical_and(norms <= limit);
}

at::Tensor counted_tokens(const at::Tensor& resid, const Rows& rows, double norm_limit) {
  return rows.is_real.logical_and(rows.position > 0).logical_and(token_norms(resid) <= norm_limit);
}

at::Tensor keep_sinks(const at::Tensor& resid,
                      const at::Tensor& edited,
                      const at::Tensor& is_counted) {
  return at::where(is_counted.unsqueeze(-1), edited, resid);
}

}  // namespace rebound
