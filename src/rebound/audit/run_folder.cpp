#include "rebound/audit/run_folder.h"

#include "rebound/audit/environment.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
constexpr int kInterrupted = 130;

bool has_results(const fs::path& folder) {
  try {
    return !Store::open_read_only(folder / "run.sqlite").results().empty();
  } catch (const Error&) {
    return false;
  }
}

// What a run wrote that failed before its first result: the same folder can be used again.
void remove_run(const fs::path& folder, bool is_folder_ours) {
  std::error_code ignored;
  for (const char* name : {"spec.json", "directions.safetensors", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm"}) {
    fs::remove(folder / name, ignored);
  }
  if (is_folder_ours) fs::remove(folder, ignored);
}

}  // namespace

AuditSummary run_in_new_folder(const fs::path& folder, const Json& spec,
                               const std::function<AuditSummary(Store)>& body) {
  std::error_code error;
  const bool is_new = fs::create_directories(folder, error);
  require<IoError>(!error, folder.string(), ": cannot create: ", error.message());
  require<IoError>(fs::is_empty(folder, error), folder.string(),
                   ": got a folder with files, expected a new or empty one (or rebound audit --resume)");
  try {
    write_file_atomically(folder / "spec.json", spec.dump(2) + "\n");
    return body(Store::create(folder / "run.sqlite"));
  } catch (const Error& e) {
    if (e.exit_code != kInterrupted && !has_results(folder)) remove_run(folder, is_new);
    throw;
  }
}

Store open_or_create_store(const fs::path& folder) {
  return fs::exists(folder / "run.sqlite") ? Store::open(folder / "run.sqlite") : Store::create(folder / "run.sqlite");
}

void finish_run(AuditSummary& summary, std::chrono::steady_clock::time_point started, const fs::path& folder) {
  summary.environment["wall_seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  summary.environment["cpu_seconds"] = cpu_seconds();
  summary.environment["peak_memory_bytes"] = peak_memory_bytes();
  write_file_atomically(folder / "summary.json", summary.to_json().dump(2) + "\n");
}

void check_interrupt(const std::function<bool()>& is_interrupted, const fs::path& folder) {
  if (is_interrupted && is_interrupted()) {
    throw Error(concat("interrupted; what was finished is kept: rebound audit --resume ", folder.string()),
                kInterrupted);
  }
}

}  // namespace rebound
