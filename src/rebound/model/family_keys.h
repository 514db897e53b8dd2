// Which keys of a family's config.json mean what: one function a family, with its own defaults.
#pragma once

#include "rebound/base/json.h"
#include "rebound/model/families.h"

namespace rebound {

// Throws DataError on a value that is not implemented, ConfigError on one of a wrong type. Keys
// that stay unasked are not of this family.
void read_family_keys(const Architecture& row, ObjectReader& config, ModelConfig& out);

}  // namespace rebound
