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
AuditSummary run_in_new_folder(const std::filesystem::path& folder,
                               const Json& spec,
                               const std::function<AuditSummary(Store)>& body);

Store open_or_create_store(const std::filesystem::path& folder);

// What a run is of is kept with it when it starts, and compared when it goes on, so that rows of
// two specs, models or SAEs never end up in one run. A run of an older version kept nothing:
// guard_spec says in one line on stderr that nothing is compared, and the run goes on.

// `spec`: the effective one; `canonical` fills a kept one with the same defaults. Throws DataError
// naming what changed.
void guard_spec(Store& store,
                const Json& spec,
                const std::function<Json(const Json&)>& canonical,
                const std::filesystem::path& folder);
// `files`: {"what it is": sha256, ...}, see hashed_file. After guard_spec.
void guard_files(Store& store, const Json& files, const std::filesystem::path& folder);

// sha256 of a file, or of lines "NAME SHA256\n" over the files in a folder that make a model or
// SAE; null where there is neither.
Json hashed_file(const std::filesystem::path& path);

// Adds wall and CPU time and peak memory to the environment, and writes summary.json.
void finish_run(AuditSummary& summary,
                std::chrono::steady_clock::time_point started,
                const std::filesystem::path& folder);

// Throws Error with exit code 130, saying how to go on, when `is_interrupted` is true.
void check_interrupt(const std::function<bool()>& is_interrupted,
                     const std::filesystem::path& folder);

}  // namespace rebound
