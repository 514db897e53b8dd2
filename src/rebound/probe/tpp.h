// Targeted probe perturbation (SAEBench; Karvonen et al. 2025, after Marks et al. 2024): does
// ablating the features that a probe of one class reads hurt that class and no other? And does the
// reading come back by a perturbation that leaves the ablated features alone (method.md section 2)?
//
//   probe of class i   fit_dense on mean-pooled residuals, the class against as many others
//   effect             e_j = max(0, mean_pos f_j - mean_neg f_j) (w_i . W_dec[j])      f pooled
//   codes ablation           the min(n, #{e != 0}) features of largest e set to 0, error term kept
//   tpp of class i     (acc_i - acc_i|abl_i) - mean over j != i of (acc_j - acc_j|abl_i)
//   TPP_n              the mean over classes
//
// Accuracies are of the test split, each class against as many others. A valid flip is a test text
// of the class that its probe gets right before and wrong after the ablation.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/probe/activation_cache.h"
#include "rebound/probe/class_task.h"
#include "rebound/probe/dense_probe.h"
#include "rebound/probe/features.h"
#include "rebound/probe/tpp_recovery.h"

namespace rebound {

inline const std::vector<int64_t> kTppN = {2, 5, 10, 20, 50, 100, 500};

struct TppOptions {
  std::vector<int64_t> n;  // empty: those of kTppN that the SAE has latents for
  DenseProbeOptions probe;
  PooledRecoveryOptions recovery;
  uint64_t seed = 0;  // of the texts that stand against a class
};

struct TppRow {
  std::string name;  // of the class
  int64_t n = 0;
  int64_t ablated = 0;          // features: n, or fewer
  Sae::Features features;       // these, the largest effect first
  std::vector<double> effects;  // of each
  double tpp = 0;
  double own_drop = 0, other_drop = 0;  // of accuracy
  double accuracy = 0;                  // of the class's probe, before
  PooledRecovery none, encoder;

  Json to_json() const;
};

struct TppReport {
  std::vector<TppRow> rows;    // by class, then n
  std::vector<double> lambda;  // of each class's probe
  // TPP_n, in the order of the options' n.
  std::vector<std::pair<int64_t, double>> scores;
};

// code [texts, d_sae] pooled, weight [d_model]; e [d_sae].
at::Tensor feature_effects(const at::Tensor& code,
                           const std::vector<bool>& is_positive,
                           const at::Tensor& weight,
                           const Sae& sae);
// The same with both factors' absolute values and no clamping at 0 (SCR's).
at::Tensor absolute_effects(const at::Tensor& code,
                            const std::vector<bool>& is_positive,
                            const at::Tensor& weight,
                            const Sae& sae);
// min(n, #{e != 0}) features, the largest (signed) first, the lower index first if equal.
Sae::Features top_effects(const at::Tensor& effects, int64_t n);

// cache: activations of task.texts at the SAE's site, in their order. Throws ConfigError for an n
// outside 1..d_sae and for an SAE that normalises its input (its ablation does not commute with the
// mean), DataError for a cache of other size.
TppReport run_tpp(const ClassTask& task,
                  const ActivationCache& cache,
                  const Sae& sae,
                  const TppOptions& options = {});

}  // namespace rebound
