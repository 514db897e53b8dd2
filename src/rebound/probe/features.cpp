#include "rebound/probe/features.h"

#include <ATen/ATen.h>

#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/progress.h"

namespace rebound {
namespace {

constexpr int64_t kTokensAtOnce = 1024;  // encoded together

// `parts` of consecutive texts lie one below the other in `values`.
void reduce_into(at::Tensor out,
                 int64_t first,
                 const Pooler& pooler,
                 const at::Tensor& values,
                 const std::vector<int64_t>& parts) {
  int64_t row = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    out[first + static_cast<int64_t>(i)].copy_(pooler.reduce(values.slice(0, row, row + parts[i])));
    row += parts[i];
  }
}

}  // namespace

PooledFeatures pool_features(const ActivationCache& cache, const Pooler& pooler, const Sae* sae) {
  const at::NoGradGuard no_grad;
  const int64_t n = cache.size(), d = cache.d_model();
  PooledFeatures out;
  out.residual = at::empty({n, d}, at::kFloat);
  if (sae) {
    out.code = at::empty({n, sae->d_sae()}, at::kFloat);
    out.reconstruction = at::empty({n, d}, at::kFloat);
    out.error = at::empty({n, d}, at::kFloat);
  }
  Progress progress("pooling", n);
  for (int64_t first = 0; first < n;) {
    std::vector<at::Tensor> selected;
    std::vector<int64_t> parts;
    int64_t tokens = 0, next = first;
    while (next < n && (next == first || tokens < kTokensAtOnce)) {
      selected.push_back(
          with_context(concat("text ", next), [&] { return pooler.select(cache.tokens(next)); }));
      parts.push_back(selected.back().size(0));
      tokens += parts.back();
      ++next;
    }
    const at::Tensor x = at::cat(selected);
    reduce_into(out.residual, first, pooler, x, parts);
    if (sae) {
      const at::Tensor here = x.to(sae->device()), code = sae->encode(here),
                       decoded = sae->decode(code, here);
      reduce_into(out.code, first, pooler, code, parts);
      reduce_into(out.reconstruction, first, pooler, decoded, parts);
      reduce_into(out.error, first, pooler, here - decoded, parts);
    }
    first = next;
    progress.update(first);
  }
  return out;
}

}  // namespace rebound
