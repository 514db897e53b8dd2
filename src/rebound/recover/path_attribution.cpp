#include "rebound/recover/path_attribution.h"

#include <torch/torch.h>

#include <algorithm>
#include <numeric>

#include "rebound/base/rng.h"

namespace rebound {
namespace {

std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

at::Tensor norms(const at::Tensor& x) { return x.flatten(1).norm(2, -1); }

at::Tensor with_norm_of(const at::Tensor& x, const at::Tensor& reference) {
  return x * (norms(reference) / norms(x).clamp_min(1e-12)).view({-1, 1, 1});
}

struct Split {
  std::array<at::Tensor, 3> parts;
  at::Tensor dz;  // [batch, rows, d_sae]
};

Split split_delta(const Problem& problem, const at::Tensor& delta) {
  const Sae& sae = problem.defence->sae();
  const at::Tensor x = problem.segment.resid();
  const at::Tensor f = sae.encode(x), f_new = sae.encode(x + delta);
  const at::Tensor index = at::tensor(problem.defence->features(), at::kLong).to(x.device());
  Split split;
  split.dz = f_new - f;
  const at::Tensor both = sae.decode(f_new, x + delta) - sae.decode(f, x);
  const at::Tensor clamped =
      sae.decode_delta(problem.defence->features(), split.dz.index_select(-1, index), x);
  split.parts = {clamped, both - clamped, delta - both};
  return split;
}

// Shapley values of three parts from the scores of all eight subsets (bit i: part i is in).
std::array<at::Tensor, 3> shapley(const std::array<at::Tensor, 8>& value) {
  std::array<at::Tensor, 3> shares;
  for (size_t i = 0; i < 3; ++i) {
    const size_t j = (i + 1) % 3, k = (i + 2) % 3;
    const auto gain = [&](size_t before) { return value[before | (1u << i)] - value[before]; };
    shares[i] = gain(0) / 3 + gain(1u << j) / 6 + gain(1u << k) / 6 + gain((1u << j) | (1u << k)) / 3;
  }
  return shares;
}

}  // namespace

std::string to_string(Part part) {
  switch (part) {
    case Part::kClamped: return "clamped features";
    case Part::kOther: return "other features";
    default: return "outside the dictionary";
  }
}

Part PathAttribution::main_route() const {
  size_t best = 0;
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < parts.size(); ++i) {
    const double total = std::accumulate(parts[i].shapley.begin(), parts[i].shapley.end(), 0.0);
    if (total > largest) {
      largest = total;
      best = i;
    }
  }
  return kParts[best];
}

PathAttribution attribute_path(const Problem& problem, const at::Tensor& delta, const PathOptions& options) {
  const at::NoGradGuard no_grad;
  const at::Tensor placed = (delta * problem.perturbed.unsqueeze(-1)).expand_as(problem.segment.resid());
  const auto score = [&](const at::Tensor& perturbation) {
    return problem.evaluate(problem.segment.resid() + perturbation, perturbation).score;
  };
  const Split split = split_delta(problem, placed);
  std::array<at::Tensor, 8> subset;
  for (size_t bits = 0; bits < 8; ++bits) {
    at::Tensor sum = at::zeros_like(placed);
    for (size_t i = 0; i < 3; ++i) {
      if (bits & (1u << i)) sum = sum + split.parts[i];
    }
    subset[bits] = score(sum);
  }
  const std::array<at::Tensor, 3> shares = shapley(subset);
  PathAttribution out;
  out.none = to_vector(subset[0]);
  out.full = to_vector(subset[7]);
  for (size_t i = 0; i < 3; ++i) {
    out.parts[i] = {to_vector(subset[1u << i]), to_vector(subset[7u ^ (1u << i)]),
                    to_vector(score(with_norm_of(split.parts[i], placed))), to_vector(shares[i]),
                    to_vector(norms(split.parts[i]))};
  }

  const Sae& sae = problem.defence->sae();
  at::Tensor weight = split.dz.abs().mean(at::IntArrayRef{0, 1}) * sae.weights().W_dec.norm(2, 1);
  weight.index_fill_(0, at::tensor(problem.defence->features(), at::kLong).to(weight.device()), -1);
  const int64_t n_clamped = static_cast<int64_t>(problem.defence->features().size());
  const int64_t k = std::min(options.top_k, weight.numel() - n_clamped);
  const at::Tensor top = std::get<1>(weight.topk(k));
  out.top_features = {top.data_ptr<int64_t>(), top.data_ptr<int64_t>() + k};
  const at::Tensor top_part =
      sae.decode_delta(out.top_features, split.dz.index_select(-1, top), problem.segment.resid());
  out.top_replay = to_vector(score(top_part));
  out.top_knock_out = to_vector(score(placed - top_part));

  Rng rng({options.seed, 0x706174});
  const std::vector<float> draws = rng.normals(placed.numel());
  const at::Tensor noise = at::tensor(draws).view(placed.sizes()).to(placed.device()) *
                           problem.perturbed.unsqueeze(-1);
  out.random = to_vector(score(with_norm_of(noise, placed)));
  return out;
}

}  // namespace rebound
