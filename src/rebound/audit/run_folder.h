// The life of a run folder: new, failed before its first result, interrupted, resumed.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>

#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

// Writes spec.json and run.sqlite into `folder`, new or empty, and calls `body`. A run that fails
// before its first result leaves nothing behind. Throws IoError, and what `body` throws.
AuditSummary run_in_new_folder(const std::filesystem::path& folder, const Json& spec,
                               const std::function<AuditSummary(Store)>& body);

Store open_or_create_store(const std::filesystem::path& folder);

// Adds wall and CPU time and peak memory to the environment, and writes summary.json.
void finish_run(AuditSummary& summary, std::chrono::steady_clock::time_point started,
                const std::filesystem::path& folder);

// Throws Error with exit code 130, saying how to go on, when `is_interrupted` is true.
void check_interrupt(const std::function<bool()>& is_interrupted, const std::filesystem::path& folder);

}  // namespace rebound
