// How to make a run again: its spec, the commands, and what must be the same.
#pragma once

#include <string>

#include "rebound/report/report.h"

namespace rebound {

// The page's part, with buttons that copy; "" without a spec.
std::string html_reproduce(const ReportInput& input);

// Texts that are absolute paths keep their last name alone: "…/model.gguf".
Json without_folders(const Json& json);

}  // namespace rebound
