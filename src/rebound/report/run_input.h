// What a report needs of a finished run's folder.
#pragma once

#include <filesystem>

#include "rebound/report/report.h"

namespace rebound {

// IoError: no such folder, no run, or an unfinished one. DataError: damaged or of another version.
ReportInput read_run(const std::filesystem::path& folder);

}  // namespace rebound
