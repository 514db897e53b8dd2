// A model's weights from its file, in the form in which the block reads them.
#pragma once

#include "rebound/model/transformer.h"
#include "rebound/model/weight_file.h"

namespace rebound {

// Throws DataError naming the tensor that is missing, has
// another shape, holds NaN, or is one too many.
ModelWeights read_weights(const ModelConfig& config,
                          const Architecture& row,
                          const WeightFile& file);

}  // namespace rebound
