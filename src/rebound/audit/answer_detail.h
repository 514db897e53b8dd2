// What the report shows of one example beside its figures: where a perturbation sits, and which
// protected readings moved. Short lists inside the figures of a result, and a drift that is always
// defined.
//
//   "norm_by_position": [3.1, 0.4, ...]   norm of the effective perturbation at each perturbed
//                                         position, over sites; first to last
//   "drift_by_feature": [{"site": "blocks.12.hook_resid_pre", "feature": 812, "shift": 0.61}, ...]
//                                         the kMostMoved readings that moved most, largest first
//   "drift_pre_scaled": 0.12              root of squared_drift (recover/cross_search.h): relative
//   to
//                                         a scale that ablated readings have, too
//
// A shift is |now - defended|_2 over positions, before the activation. `feature` is the number of
// the SAE's feature, of a clamp on directions the number of the direction.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/recover/cross_problem.h"

namespace rebound {

constexpr int64_t kMostMoved = 8;

// Of one site. `shift` [n], `features` n numbers. Sorted, at most kMostMoved.
Json most_moved(const std::string& site,
                const at::Tensor& shift,
                const std::vector<int64_t>& features);

// Adds all three to the figures of each example; `run` is a finished perturbation's.
void add_detail(const CrossProblem& problem, const CrossRun& run, std::vector<Json>& figures);

}  // namespace rebound
