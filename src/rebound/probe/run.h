// All probes of one task, fitted on its train split and scored on every split it has.
//
//   dense           L2 on the pooled residual
//   reconstruction  the same on the pooled reconstruction of an SAE
//   error           the same on the pooled error term
//   sae             k latents: those whose class means differ most ("mean_difference"), or that
//                   enter the L1 path of standardised latents first ("l1"); refitted on these alone
//
// Intervals are 95 % bootstraps over groups.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/probe/dense_probe.h"
#include "rebound/probe/features.h"
#include "rebound/probe/task.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

struct ProbeOptions {
  std::vector<int64_t> k;  // empty: those of kDefaultK that the data allow
  DenseProbeOptions dense;
  int bootstrap_draws = 1000;
  uint64_t seed = 0;
};
inline const std::vector<int64_t> kDefaultK = {1, 2, 5, 10, 20, 50};

struct ProbeRow {
  std::string probe;         // "dense", "sae", "reconstruction", "error"
  std::optional<int64_t> k;  // of "sae"
  std::string selection;     // of "sae": "mean_difference", "l1"; else ""
  Split split = Split::kTrain;
  int64_t n = 0;
  Estimate auroc;
  double tpr_at_1pct_fpr = 0;
  std::vector<int64_t>
      latents;        // of "sae", the strongest first; fewer than k where the path has fewer
  double lambda = 0;  // of the penalty

  Json to_json() const;
};

// AUROC of the dense probe minus that of the reconstruction's, on the same texts.
struct ProbeDeficit {
  Split split = Split::kTrain;
  Estimate auroc;

  Json to_json() const;
};

struct ProbeReport {
  std::vector<ProbeRow> rows;
  std::vector<ProbeDeficit> deficits;  // with an SAE
  DenseProbe dense;                    // on the residual
};

// features.residual [texts of the task, d_model] and so on. Throws ConfigError for k < 1, a k above
// the training texts or the latents, and DataError for features of another shape or NaN.
ProbeReport run_probes(const ProbeTask& task,
                       const PooledFeatures& features,
                       const ProbeOptions& options = {});

}  // namespace rebound
