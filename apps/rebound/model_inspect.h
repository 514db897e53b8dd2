#pragma once
// What `rebound model inspect` tells of a model file.
#include <c10/core/ScalarType.h>

#include <string>

#include "rebound/base/json.h"

namespace rebound {

// docs/model.md has the keys. With another dtype than float32, `precision` says what the rounded
// weights change (model/precision_gap.h). Throws as load_model does.
Json inspect_model(const std::string& path, at::ScalarType dtype);

void print_facts(const Json& facts, const std::string& indent = "");

}  // namespace rebound
