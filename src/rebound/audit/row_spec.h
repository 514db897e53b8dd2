// Rows of an audit as data: reading, writing, and the rows of the presets.
#pragma once

#include "rebound/audit/spec.h"

namespace rebound {

RowSpec read_row(const Json& json, const std::string& where);  // ConfigError
Json row_json(const RowSpec& row);

// The whole ladder (method.md sections 2 and 6).
std::vector<RowSpec> default_rows(double budget);
// The same rungs with fewer steps and rows: against the best of all tokens a step costs the whole
// head, and every fold is a batch of its own.
std::vector<RowSpec> fact_rows(double budget);

}  // namespace rebound
