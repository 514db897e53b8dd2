// Figures over the stored results of a row: means, rates, paired differences, budgets.
#pragma once

#include <map>
#include <vector>

#include "rebound/audit/store.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

Json finite_or_null(double value);

// NaN where the result does not have it.
double figure(const StoredResult& result, const char* name);
// Those that are finite.
std::vector<double> figures(const std::vector<StoredResult>& results, const char* name);
// Mean of a figure over the results that have it; NaN for none.
double mean_figure(const std::vector<StoredResult>& results, const char* name);

// Share of tries that recovered, by prompt.
std::map<int64_t, double> rates_by_prompt(const std::vector<StoredResult>& results);

// Recovery of a minus that of b on the same prompts, several tries of a prompt averaged; 95 % interval by
// bootstrap over clusters.
Estimate paired_difference(const std::vector<StoredResult>& a, const std::vector<StoredResult>& b,
                           const std::vector<int64_t>& clusters);
// (B_inject / gap) / (B_recover / gap) by prompt, the median over an example's targets; its median
// with an interval. Results carry "minimal_budget" (null: censored at `cap`) and "gap". A censored injection
// counts as its cap in the value and the lower bound, as infinite in the upper one; a censored recovery is left out.
Estimate specificity_per_nat(const std::vector<StoredResult>& inject, const std::vector<StoredResult>& recover,
                             const std::vector<int64_t>& clusters, double cap);
// {"value": text with censoring, "n", "n_censored"}
Json median_budget(const std::vector<StoredResult>& results, double cap);
// {"value", "ci_low", "ci_high"}
Json estimate_json(const Estimate& estimate);

}  // namespace rebound
