#include "rebound/audit/run_folder.h"

#include <map>
#include <set>

#include "rebound/audit/environment.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"

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
  for (const char* name :
       {"spec.json", "directions.safetensors", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm"}) {
    fs::remove(folder / name, ignored);
  }
  if (is_folder_ours) fs::remove(folder, ignored);
}

constexpr const char* kSpecKey = "spec";
constexpr const char* kFilesKey = "files";

// Whether anything of a run is in the store.
bool has_begun(const Store& store) {
  return !store.examples().empty() || store.artefact("choice").has_value();
}

// DataError naming the first value that is another one now.
void require_same(const Json& kept,
                  const Json& now,
                  const std::string& what,
                  const fs::path& folder) {
  const Json before = kept.flatten(), after = now.flatten();
  std::set<std::string> keys;
  for (const Json* side : {&before, &after}) {
    for (const auto& [key, value] : side->items()) keys.insert(key);
  }
  for (const std::string& key : keys) {
    const Json old_value = before.value(key, Json()), new_value = after.value(key, Json());
    require<DataError>(old_value == new_value,
                       folder.string(),
                       ": ",
                       what,
                       " ",
                       key,
                       ": got ",
                       new_value.dump().substr(0, 80),
                       ", expected ",
                       old_value.dump().substr(0, 80),
                       " as when the run began (start another run in a new folder)");
  }
}

}  // namespace

void guard_spec(Store& store,
                const Json& spec,
                const std::function<Json(const Json&)>& canonical,
                const fs::path& folder) {
  if (const auto kept = store.meta(kSpecKey)) {
    const std::string where = (folder / "run.sqlite").string();
    require_same(canonical(parse_json(*kept, where)), spec, "spec", folder);
    return;
  }
  if (has_begun(store)) {
    say(concat(
        folder.string(),
        ": a run of an older version, which kept neither spec nor hashes: whether spec, model "
        "and SAEs are still those of its first rows is not checked"));
    return;
  }
  store.put_meta(kSpecKey, spec.dump());
}

void guard_files(Store& store, const Json& files, const fs::path& folder) {
  if (!store.meta(kSpecKey)) return;
  if (const auto kept = store.meta(kFilesKey)) {
    require_same(parse_json(*kept, (folder / "run.sqlite").string()), files, "sha256 of", folder);
    return;
  }
  store.put_meta(kFilesKey, files.dump());
}

Json hashed_file(const fs::path& path) {
  if (fs::is_regular_file(path)) return sha256_of_file(path);
  if (!fs::is_directory(path)) return nullptr;
  static const std::set<std::string> kKinds = {
      ".safetensors", ".bin", ".pt", ".pth", ".npz", ".gguf", ".json", ".model", ".txt", ".jinja"};
  std::map<std::string, std::string> hashes;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (!entry.is_regular_file() || !kKinds.count(entry.path().extension().string())) continue;
    hashes[entry.path().filename().string()] = sha256_of_file(entry.path());
  }
  std::string lines;
  for (const auto& [name, hash] : hashes) lines += concat(name, " ", hash, "\n");
  return sha256_of_text(lines);
}

AuditSummary run_in_new_folder(const fs::path& folder,
                               const Json& spec,
                               const std::function<AuditSummary(Store)>& body) {
  std::error_code error;
  const bool is_new = fs::create_directories(folder, error);
  require<IoError>(!error, folder.string(), ": cannot create: ", error.message());
  require<IoError>(
      fs::is_empty(folder, error),
      folder.string(),
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
  return fs::exists(folder / "run.sqlite") ? Store::open(folder / "run.sqlite")
                                           : Store::create(folder / "run.sqlite");
}

void finish_run(AuditSummary& summary,
                std::chrono::steady_clock::time_point started,
                const fs::path& folder) {
  summary.environment["wall_seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  summary.environment["cpu_seconds"] = cpu_seconds();
  summary.environment["peak_memory_bytes"] = peak_memory_bytes();
  write_file_atomically(folder / "summary.json", summary.to_json().dump(2) + "\n");
}

void check_interrupt(const std::function<bool()>& is_interrupted, const fs::path& folder) {
  if (is_interrupted && is_interrupted()) {
    throw Error(
        concat("interrupted; what was finished is kept: rebound audit --resume ", folder.string()),
        kInterrupted);
  }
}

}  // namespace rebound
