// How well scores tell two classes apart.
//
//   AUROC            = P(score of a positive > score of a negative), ties counted half
//   TPR at 1 % FPR   = the largest share of positives above a threshold that at most 1 % of the
//                      negatives lie above, equal scores on one side (with fewer than 100
//                      negatives: none above)
#pragma once

#include <cstdint>
#include <vector>

#include "rebound/stats/bootstrap.h"

namespace rebound {

// Throws DataError unless both have the same length, both classes are there and no score is NaN.
double auroc(const std::vector<double>& scores, const std::vector<bool>& is_positive);
double tpr_at_fpr(const std::vector<double>& scores,
                  const std::vector<bool>& is_positive,
                  double max_fpr = 0.01);

// Percentile bootstrap over clusters; draws with one class alone are left out. Where all draws
// agree (separated classes, two clusters) it is widened to what clusters that were not drawn could
// change: widened_where_flat with as many clusters as the class has that is in fewer.
Estimate auroc_interval(const std::vector<double>& scores,
                        const std::vector<bool>& is_positive,
                        const BootstrapOptions& options = {});
// AUROC of `a` minus that of `b` on the same examples.
Estimate auroc_difference(const std::vector<double>& a,
                          const std::vector<double>& b,
                          const std::vector<bool>& is_positive,
                          const BootstrapOptions& options = {});

}  // namespace rebound
