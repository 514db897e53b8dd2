// Agreement of two raters that put the same items into the same categories.
//
//   p_o = sum_i n_ii / n,  p_e = sum_i (n_i. / n)(n_.i / n),  kappa = (p_o - p_e) / (1 - p_e)
//
// Source: Cohen 1960, "A coefficient of agreement for nominal scales".
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace rebound {

// counts[i][j]: items that rater 1 put into category i and rater 2 into j. Square, >= 0.
using ConfusionCounts = std::vector<std::vector<int64_t>>;

// p_o; none without items. ConfigError when `counts` is not square or has a negative entry.
std::optional<double> agreement_rate(const ConfusionCounts& counts);

// In [-1, 1]; none without items, and when both raters used one and the same category only
// (p_e = 1). ConfigError as above.
std::optional<double> cohen_kappa(const ConfusionCounts& counts);

}  // namespace rebound
