#pragma once
// What `rebound model inspect` tells of a model file.
#include <string>

#include "rebound/base/json.h"
#include "rebound/model/transformer.h"

namespace rebound {

// docs/model.md has the keys. With another dtype than float32, `precision` says what the rounded
// weights change (model/precision_gap.h). Throws as load_model does.
Json inspect_model(const std::string& path, const ModelLoadOptions& form);

void print_facts(const Json& facts, const std::string& indent = "");

}  // namespace rebound
