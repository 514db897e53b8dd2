// Would the attack have found a route if there were one? (method.md section 4, power check.)
#pragma once

#include <string>
#include <vector>

#include "rebound/audit/rows.h"

namespace rebound {

// Share of the otherwise unrecovered flips that the attack must recover with the leak.
constexpr double kNeededPower = 0.9;

// Places in `prompts` (numbers of examples) of those that the row tried and recovered by none of
// its tries.
std::vector<size_t> missed_by(const Store& store,
                              const std::string& row,
                              const std::vector<int64_t>& prompts);

// The flips that the headline row left unrecovered, attacked again with a leak planted in the model
// at the same site and position:
//
//   score += alpha (u . delta),   u a random unit vector orthogonal to what is projected out,
//   alpha = gap / (budget / 2): the leak alone needs half of the budget
//
// No results where the headline row recovered everything.
Row power_row(const AuditSpec& spec);

}  // namespace rebound
