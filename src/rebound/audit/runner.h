// Runs an audit into a folder, a batch of a row at a time; what is finished survives kill -9.
//
//   runs/NAME/spec.json     the effective spec
//   runs/NAME/run.sqlite    examples, results, batches, deltas, traces (store.h)
//   runs/NAME/summary.json  written last (docs/summary.md)
#pragma once

#include <filesystem>
#include <functional>

#include "rebound/audit/spec.h"
#include "rebound/audit/summary.h"

namespace rebound {

// A new run. The folder may exist if it is empty. Throws ConfigError, DataError, IoError, and
// Error with exit code 130 when `is_interrupted` becomes true (what was finished is stored).
AuditSummary run_audit(const AuditSpec& spec, const std::filesystem::path& folder,
                       const std::function<bool()>& is_interrupted = {});

// Continues the run in `folder`; finished batches are not repeated.
AuditSummary resume_audit(const std::filesystem::path& folder, const std::function<bool()>& is_interrupted = {});

}  // namespace rebound
