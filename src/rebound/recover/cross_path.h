// Where a recovery over several clamped sites travels (method.md section 5). At each site, with e
// the effective perturbation there (CrossRun::effective), x the value that it meets
// (CrossRun::clamped) and dz = encode(x + e) - encode(x), e is the sum of
//
//                a clamp on features        a clamp on directions, Q their orthonormal basis
//   clamped      dz_S W_dec                 Q Q^T e
//   other        dz_~S W_dec                (I - Q Q^T) dz W_dec
//   residual     what is left               what is left
//
// with decode differences in place of dz W_dec where the SAE normalises. Without an SAE at a site
// `other` is zero there: what features would carry counts as outside the dictionary. A part is that
// part at all sites at once; replayed with Span::kNone the whole gives the attacked run again.
// Under forward projection `clamped` is what the projection adds to take back what earlier sites moved
// (nothing at the first site, and nothing after an ablation, which takes it back itself).
#pragma once

#include <memory>
#include <vector>

#include "rebound/recover/cross_problem.h"
#include "rebound/recover/path_parts.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct SiteDictionary {
  std::shared_ptr<const Sae> sae;  // null: none
  Sae::Features clamped;           // S; empty: the clamp protects directions
};

// One for each site of the plan: a clamp on features has its own SAE, one on directions takes that
// of `saes` whose hook is its site. ConfigError for an SAE that no clamp takes.
std::vector<SiteDictionary> site_dictionaries(const ClampPlan& plan,
                                              const std::vector<std::shared_ptr<const Sae>>& saes);

struct CrossPathOptions {
  int64_t top_k = 20;        // other features, of all sites together
  uint64_t seed = 0;         // of the random direction
  std::vector<int64_t> ids;  // numbers of the examples, for their draws; empty: 0, 1, ...
};

struct SiteFeature {
  size_t site = 0;  // of the plan
  int64_t feature = 0;
};

struct CrossSplit {
  PathSplit split;  // [batch, sites, rows, d_model]
  // By mean |dz_j| |W_dec[j]| over perturbed rows, largest first.
  std::vector<SiteFeature> top_features;
};

// Splits the effective perturbation of `delta` under `projected`.
CrossSplit split_cross(const CrossProblem& problem,
                       const at::Tensor& delta,
                       Span projected,
                       const std::vector<SiteDictionary>& dictionaries,
                       const CrossPathOptions& options);

// Mean log-probability of the target under each perturbation, added as it is. [batch] each.
std::vector<at::Tensor> replay_scores(const CrossProblem& problem,
                                      const std::vector<at::Tensor>& perturbations);

}  // namespace rebound
