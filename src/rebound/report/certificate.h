// The constraint certificate: did each row leave alone what its constraint says, prompt by prompt?
#pragma once

#include "rebound/report/report.h"
#include "rebound/report/table.h"

namespace rebound {

// Worst figures over the stored prompts of each attack row whose drift was measured; no rows
// without.
Table certificate_table(const ReportInput& input);
// One sentence on the rows that hold exactly; "" without any.
std::string certificate_text(const ReportInput& input);

}  // namespace rebound
