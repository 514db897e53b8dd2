#include "rebound/recover/path_attribution.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/base/rng.h"

namespace rebound {
namespace {

struct SplitDelta {
  std::array<at::Tensor, 3> parts;
  at::Tensor dz;  // [batch, rows, d_sae]
};

SplitDelta split_delta(const Problem& problem, const at::Tensor& delta) {
  const Sae& sae = problem.defence->sae();
  const at::Tensor x = problem.segment.resid();
  const at::Tensor f = sae.encode(x), f_new = sae.encode(x + delta);
  const at::Tensor index = at::tensor(problem.defence->features(), at::kLong).to(x.device());
  SplitDelta split;
  split.dz = f_new - f;
  const at::Tensor both = sae.decode(f_new, x + delta) - sae.decode(f, x);
  const at::Tensor clamped =
      sae.decode_delta(problem.defence->features(), split.dz.index_select(-1, index), x);
  split.parts = {clamped, both - clamped, delta - both};
  return split;
}

Sae::Features top_other_features(const Problem& problem, const at::Tensor& dz, int64_t top_k) {
  const Sae::Features& clamped = problem.defence->features();
  at::Tensor weight =
      dz.abs().mean(at::IntArrayRef{0, 1}) * problem.defence->sae().weights().W_dec.norm(2, 1);
  weight.index_fill_(0, at::tensor(clamped, at::kLong).to(weight.device()), -1);
  const int64_t k = std::min(top_k, weight.numel() - static_cast<int64_t>(clamped.size()));
  const at::Tensor top = std::get<1>(weight.cpu().topk(k));
  return {top.data_ptr<int64_t>(), top.data_ptr<int64_t>() + k};
}

}  // namespace

PathAttribution attribute_path(const Problem& problem, const at::Tensor& delta, const PathOptions& options) {
  const at::NoGradGuard no_grad;
  const at::Tensor x = problem.segment.resid(), rows = problem.perturbed.unsqueeze(-1);
  const at::Tensor placed = (delta * rows).expand_as(x);
  const SplitDelta found = split_delta(problem, placed);
  const Sae::Features top = top_other_features(problem, found.dz, options.top_k);
  const at::Tensor index = at::tensor(top, at::kLong).to(x.device());
  Rng rng({options.seed, 0x706174});
  const at::Tensor noise = at::tensor(rng.normals(placed.numel())).view(placed.sizes()).to(placed.device()) * rows;
  const PathSplit split{placed, found.parts,
                        problem.defence->sae().decode_delta(top, found.dz.index_select(-1, index), x),
                        with_norm_of(noise, placed)};
  std::vector<at::Tensor> scores;
  for (const at::Tensor& variant : path_variants(split)) {
    scores.push_back(problem.evaluate(x + variant, variant).score);
  }
  return {path_figures(split, scores), top};
}

}  // namespace rebound
