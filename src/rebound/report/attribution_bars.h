// What an audit's attribution says of each part of the perturbation, as one list for chart and
// terminal.
#pragma once

#include <string>
#include <vector>

#include "rebound/audit/summary.h"

namespace rebound {

struct AttributionBar {
  std::string part;     // "outside the dictionary"
  std::string measure;  // one of attribution_measures()
  double share = 0;     // recovered / n, or a Shapley share (which may leave 0..1)
  double low = kNotMeasured, high = kNotMeasured;  // Wilson, 95 %; of counts alone
  std::string count;                               // "20/24"; "" for a Shapley share
};

// In the order in which they are drawn; the last is the Shapley share.
const std::vector<std::string>& attribution_measures();

// Parts in their order, then the strongest other features and random directions. Nothing where the
// audit has no parts; figures that make no sense are left out.
std::vector<AttributionBar> attribution_bars(const Json& attribution);

}  // namespace rebound
