#include "rebound/recover/cross_path.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/rng.h"
#include "rebound/intervene/defence.h"

namespace rebound {
namespace {

struct SplitSite {
  std::array<at::Tensor, 3> parts;
  at::Tensor dz;  // [batch, rows, d_sae]; undefined without an SAE
};

at::Tensor along(const at::Tensor& x, const at::Tensor& basis) {
  return at::matmul(at::matmul(x, basis), basis.t());
}

// What these features carry, less what the clamp protects.
at::Tensor carried(const ClampedSite& site,
                   const SiteDictionary& dictionary,
                   const Sae::Features& features,
                   const at::Tensor& dz,
                   const at::Tensor& x) {
  const at::Tensor index = at::tensor(features, at::kLong).to(dz.device());
  const at::Tensor all = dictionary.sae->decode_delta(features, dz.index_select(-1, index), x);
  return dictionary.clamped.empty() ? all - along(all, site.encoder_basis) : all;
}

SplitSite split_site(const ClampedSite& site,
                     const SiteDictionary& dictionary,
                     const at::Tensor& x,
                     const at::Tensor& e) {
  if (!dictionary.sae) {
    const at::Tensor clamped = along(e, site.encoder_basis);
    return {{clamped, at::zeros_like(e), e - clamped}, {}};
  }
  const Sae& sae = *dictionary.sae;
  const at::Tensor f = sae.encode(x), f_new = sae.encode(x + e), dz = f_new - f;
  const at::Tensor both = sae.decode(f_new, x + e) - sae.decode(f, x);
  at::Tensor clamped, other;
  if (dictionary.clamped.empty()) {
    clamped = along(e, site.encoder_basis);
    other = both - along(both, site.encoder_basis);
  } else {
    clamped = carried(site, dictionary, dictionary.clamped, dz, x);
    other = both - clamped;
  }
  return {{clamped, other, e - clamped - other}, dz};
}

// Of one site's features; clamped ones have weight -1. [d_sae]
at::Tensor weights_of(const SiteDictionary& dictionary,
                      const at::Tensor& dz,
                      const at::Tensor& is_real) {
  const at::Tensor real = is_real.unsqueeze(-1).to(dz.dtype());
  at::Tensor weight = (dz.abs() * real).sum(at::IntArrayRef{0, 1}) / real.sum() *
                      dictionary.sae->weights().W_dec.norm(2, 1);
  if (dictionary.clamped.empty()) return weight;
  return weight.index_fill(0, at::tensor(dictionary.clamped, at::kLong).to(weight.device()), -1);
}

std::vector<SiteFeature> top_features_of(const CrossProblem& problem,
                                         const std::vector<SiteDictionary>& dictionaries,
                                         const std::vector<SplitSite>& sites,
                                         int64_t top_k) {
  std::vector<std::pair<double, SiteFeature>> found;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (!dictionaries[i].sae) continue;
    const at::Tensor weight = weights_of(dictionaries[i], sites[i].dz, problem.is_real());
    const auto [values, order] = weight.cpu().topk(std::min(top_k, weight.numel()));
    for (int64_t j = 0; j < values.numel(); ++j) {
      const double value = values[j].item<double>();
      if (value > 0) found.push_back({value, {i, order[j].item<int64_t>()}});
    }
  }
  std::stable_sort(
      found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  if (static_cast<int64_t>(found.size()) > top_k) found.resize(static_cast<size_t>(top_k));
  std::vector<SiteFeature> top;
  for (const auto& [value, feature] : found) top.push_back(feature);
  return top;
}

at::Tensor random_direction(const CrossProblem& problem,
                            const CrossPathOptions& options,
                            const at::Tensor& like) {
  at::Tensor noise = at::empty_like(like);
  for (int64_t i = 0; i < like.size(0); ++i) {
    const int64_t id = options.ids.empty() ? i : options.ids[static_cast<size_t>(i)];
    Rng rng({options.seed, static_cast<uint64_t>(id), 0x706174});
    noise[i] = at::tensor(rng.normals(like[i].numel())).view_as(like[i]);
  }
  return with_norm_of(noise * problem.is_real().unsqueeze(1).unsqueeze(-1), like);
}

}  // namespace

std::vector<SiteDictionary> site_dictionaries(const ClampPlan& plan,
                                              const std::vector<std::shared_ptr<const Sae>>& saes) {
  std::vector<SiteDictionary> dictionaries(plan.size());
  std::set<std::string> free_sites;
  for (size_t i = 0; i < plan.size(); ++i) {
    const Clamp& clamp = *plan.clamps()[i];
    if (const auto* defence = dynamic_cast<const Defence*>(&clamp)) {
      dictionaries[i] = {defence->shared_sae(), defence->features()};
    } else {
      free_sites.insert(to_string(clamp.site()));
    }
  }
  for (const auto& sae : saes) {
    const std::string& hook = sae->config().hook_name;
    require<ConfigError>(free_sites.erase(hook) == 1,
                         "attribution.saes: got an SAE at ",
                         hook,
                         ", expected at most one at each clamp on directions");
    for (size_t i = 0; i < plan.size(); ++i) {
      if (to_string(plan.clamps()[i]->site()) == hook) dictionaries[i].sae = sae;
    }
  }
  return dictionaries;
}

CrossSplit split_cross(const CrossProblem& problem,
                       const at::Tensor& delta,
                       Span projected,
                       const std::vector<SiteDictionary>& dictionaries,
                       const CrossPathOptions& options) {
  const at::NoGradGuard no_grad;
  const CrossRun run = problem.run_sites(delta, projected);
  std::vector<SplitSite> sites;
  for (size_t i = 0; i < dictionaries.size(); ++i) {
    sites.push_back(
        split_site(problem.sites()[i], dictionaries[i], run.clamped[i], run.effective[i]));
  }
  const auto over_sites = [&](const auto& value) {
    std::vector<at::Tensor> values;
    for (size_t i = 0; i < sites.size(); ++i) values.push_back(value(i));
    return at::stack(values, 1);
  };
  CrossSplit out;
  out.top_features = top_features_of(problem, dictionaries, sites, options.top_k);
  out.split.whole = at::stack(run.effective, 1);
  for (size_t part = 0; part < kParts.size(); ++part) {
    out.split.parts[part] = over_sites([&](size_t i) { return sites[i].parts[part]; });
  }
  out.split.top = over_sites([&](size_t i) {
    Sae::Features mine;
    for (const SiteFeature& top : out.top_features) {
      if (top.site == i) mine.push_back(top.feature);
    }
    if (mine.empty()) return at::zeros_like(run.effective[i]);
    return carried(problem.sites()[i], dictionaries[i], mine, sites[i].dz, run.clamped[i]);
  });
  out.split.random = random_direction(problem, options, out.split.whole);
  return out;
}

std::vector<at::Tensor> replay_scores(const CrossProblem& problem,
                                      const std::vector<at::Tensor>& perturbations) {
  const at::NoGradGuard no_grad;
  const int64_t n = problem.size(), count = std::min(worker_count(), n);
  std::vector<std::vector<at::Tensor>> scores(perturbations.size(),
                                              std::vector<at::Tensor>(static_cast<size_t>(count)));
  run_parts(count, [&](int64_t part) {
    const at::NoGradGuard no_grad_here;
    const at::Tensor index =
        at::arange(n * part / count, n * (part + 1) / count, problem.targets().options());
    const CrossProblem mine = problem.select(index);
    for (size_t i = 0; i < perturbations.size(); ++i) {
      scores[i][static_cast<size_t>(part)] =
          mine.run(perturbations[i].index_select(0, index), Span::kNone).score;
    }
  });
  std::vector<at::Tensor> all;
  for (const auto& parts : scores) all.push_back(at::cat(parts));
  return all;
}

}  // namespace rebound
