// The page's first screen: what was asked, the verdict and why, the deciding figures, what was
// tested and what was not.
#pragma once

#include <string>

#include "rebound/report/report.h"

namespace rebound {

std::string html_overview(const ReportInput& input, const ReportOptions& options);

}  // namespace rebound
