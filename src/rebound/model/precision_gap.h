// What 16-bit or stored weights change: residual streams of one text beside float32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/model/site.h"
#include "rebound/model/transformer.h"

namespace rebound {

struct PrecisionGap {
  std::string precision;  // of the matrices that are compared with float32
  double largest = 0;  // over layers, |a - b| / |b| of hook_resid_post, all positions
  Site at;             // where that is
  double last = 0;     // the same of the last layer

  Json to_json() const;  // {"dtype", "largest_relative_difference", "site", "last_layer"}
};

// Both are the same model; `exact` has float32 matrices. Throws DataError when `ids` is empty.
PrecisionGap precision_gap(const Transformer& rounded,
                           const Transformer& exact,
                           const std::vector<int64_t>& ids);

}  // namespace rebound
