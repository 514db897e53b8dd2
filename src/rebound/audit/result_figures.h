// Figures over the stored results of a row: means, rates, paired differences, budgets.
#pragma once

#include <map>
#include <vector>

#include "rebound/audit/store.h"
#include "rebound/stats/bootstrap.h"
#include "rebound/stats/intervals.h"

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

// Of the prompts of the results; `clusters` [prompt index].
int64_t count_clusters(const std::vector<StoredResult>& results,
                       const std::vector<int64_t>& clusters);
// 95 % interval of the share that recovered. Wilson's where every prompt was tried once and is a
// cluster of its own. Else by bootstrap over clusters, of prompts tried once widened to Wilson's.
// Where it reaches 0 or 1, or has no width, at most three or so clusters differ from the others,
// and it is widened to what clusters that were not drawn could change (unseen_cluster_bounds). NaN
// for no results.
Interval recovery_interval(const std::vector<StoredResult>& results,
                           const std::vector<int64_t>& clusters);

// Recovery of a minus that of b on the same prompts, several tries of a prompt averaged; 95 %
// interval by bootstrap over clusters; where that has no width, unseen_cluster_bounds.
Estimate paired_difference(const std::vector<StoredResult>& a,
                           const std::vector<StoredResult>& b,
                           const std::vector<int64_t>& clusters);

// The largest norms that searches for minimal budgets tried.
struct SearchCaps {
  double inject, recover;
};
// (B_inject / gap) / (B_recover / gap) by prompt, the median over an example's targets; its median
// with an interval. Results carry "minimal_budget" (null: censored at its cap) and "gap". Censored
// searches stay:
//
//   value, lower bound:  an injection costs its cap, a recovery infinitely much (ratio 0)
//   upper bound:         an injection costs infinitely much, a recovery its cap
//
// so that the bounds hold whatever the censored ones cost. Fewer than kFewestForMedian
// clusters bound no median at 95 %: [0, infinity].
constexpr int64_t kFewestForMedian = 6;  // 2 (1/2)^6 < 0.05 < 2 (1/2)^5
Estimate specificity_per_nat(const std::vector<StoredResult>& inject,
                             const std::vector<StoredResult>& recover,
                             const std::vector<int64_t>& clusters,
                             SearchCaps caps);
// {"value": text with censoring, "n", "n_censored"}
Json median_budget(const std::vector<StoredResult>& results, double cap);
// {"value", "ci_low", "ci_high"}
Json estimate_json(const Estimate& estimate);

}  // namespace rebound
