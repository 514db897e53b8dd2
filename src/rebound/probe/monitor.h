// A probe as an independent monitor: what it reads of the same texts in several states of a model.
//
//   base       the model as it was, on which the probe was fitted
//   defended   with a defence that the probe never saw
//   recovered  with the defence and a perturbation that brings a behaviour back
//
// The threshold is the one that at most 1 % of the negatives pass in the base state; it is not
// moved afterwards, as nobody would move that of a monitor in use.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/probe/features.h"
#include "rebound/probe/fitted_probe.h"
#include "rebound/probe/task.h"
#include "rebound/sae/sae.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

struct MonitorProbe {
  std::string name;                // "dense", "sae"
  FittedProbe fitted;              // of raw residuals, or of raw codes of `latents`
  std::shared_ptr<const Sae> sae;  // null: reads the residual
  Sae::Features latents;

  // As monitor_scores of fitted_probe.h; codes are taken token by token, then pooled.
  std::vector<double> scores(const at::Tensor& resid, const at::Tensor& is_counted) const;
};

// The dense probe (fit_dense) and, with an SAE, that of the `k` latents whose class means differ
// most (fit_columns), on the train split. features as of run_probes; `place` gives site and pooler.
// Throws as fit_dense, ConfigError for a k outside 1..d_sae.
std::vector<MonitorProbe> fit_monitors(const ProbeTask& task,
                                       const PooledFeatures& features,
                                       const FittedProbe& place,
                                       std::shared_ptr<const Sae> sae,
                                       int64_t k);

// The texts that are watched, all of one class, and texts of the other class to tell them from.
struct MonitorTexts {
  bool is_own_positive = true;
  std::vector<int64_t> own_clusters, other_clusters;  // near-duplicates, for the bootstraps
};

struct MonitorScores {
  std::string state;
  std::vector<double> own, other;
  std::vector<double> distance;  // of each own text's tokens from those of the base state, relative
};

struct MonitorRow {
  std::string probe, window, state;
  Estimate auroc;          // positives against negatives, both in this state; NaN without others
  Estimate mean;           // score of the own texts
  Estimate above;          // share of them above the threshold, Wilson's interval where it is wider
  double other_above = 0;  // share of the others; NaN without
  double threshold = 0;
  Estimate shift;     // own score minus that of the base state, the same texts
  Estimate distance;  // mean of MonitorScores::distance

  Json to_json() const;
};

// The least of the scores that at most floor(max_fpr n) of `negatives` lie above. DataError for
// none.
double threshold_at_fpr(std::vector<double> negatives, double max_fpr = 0.01);

// One row a state; the first state is the base. Without others the negatives are the own texts, and
// own texts that are positive have no threshold (NaN). Throws DataError for states of different
// sizes, ConfigError for no state.
std::vector<MonitorRow> monitor_rows(const std::string& probe,
                                     const std::string& window,
                                     const MonitorTexts& texts,
                                     const std::vector<MonitorScores>& states,
                                     const BootstrapOptions& options = {});

}  // namespace rebound
