#include "rebound/serve/runs_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "rebound/audit/run_progress.h"
#include "rebound/audit/summary.h"
#include "rebound/base/error.h"
#include "rebound/serve/open_store.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
constexpr uintmax_t kMostSummaryBytes = 64 << 20;

bool is_plain_file(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::regular;
}

bool is_plain_folder(const fs::directory_entry& entry) {
  std::error_code error;
  return entry.symlink_status(error).type() == fs::file_type::directory;
}

// Every file of it that is read, if it is there, is a file and no link.
bool is_run(const fs::directory_entry& entry) {
  if (!is_plain_folder(entry) || !is_plain_file(entry.path() / "run.sqlite")) return false;
  for (const char* name : {"summary.json", "spec.json"}) {
    std::error_code error;
    const fs::file_type type = fs::symlink_status(entry.path() / name, error).type();
    if (type != fs::file_type::regular && type != fs::file_type::not_found) return false;
  }
  return true;
}

std::vector<fs::path> runs_in(const fs::path& root) {
  std::vector<fs::path> runs;
  std::error_code error;
  for (fs::directory_iterator entry(root, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().native().front() != '.' && is_run(*entry))
      runs.push_back(entry->path());
  }
  return runs;
}

int64_t changed_seconds(const fs::path& path) {
  struct stat facts = {};
  return stat(path.c_str(), &facts) == 0 ? static_cast<int64_t>(facts.st_mtime) : 0;
}

Json empty_entry(const fs::path& run) {
  return {{"name", run.filename().string()},
          {"state", "stopped"},
          {"changed",
           std::max(changed_seconds(run / "run.sqlite"), changed_seconds(run / "run.sqlite-wal"))},
          {"behaviour", nullptr},
          {"model", nullptr},
          {"sae", nullptr},
          {"verdict", nullptr},
          {"n_prompts", nullptr},
          {"n_valid", nullptr},
          {"progress", nullptr},
          {"note", nullptr}};
}

Json text_at(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() && !found->get<std::string>().empty() ? *found
                                                                                           : Json();
}

Json file_name(const Json& path) {
  return path.is_string() ? Json(fs::path(path.get<std::string>()).filename().string()) : Json();
}

void add_spec(Json& entry, const fs::path& run) {
  if (!is_plain_file(run / "spec.json")) return;
  const Json spec = read_json_file(run / "spec.json");
  const auto behaviour = spec.is_object() ? spec.find("behaviour") : spec.end();
  if (behaviour != spec.end()) entry["behaviour"] = text_at(*behaviour, "kind");
  entry["model"] = file_name(text_at(spec, "model"));
  entry["sae"] = file_name(text_at(spec, "sae"));
}

Json progress_json(const RunProgress& progress) {
  if (!progress.plan) return nullptr;
  return {{"done", progress.n_done()}, {"total", progress.plan->n_parts()}};
}

Json going_entry(const fs::path& run) {
  Json entry = empty_entry(run);
  add_spec(entry, run);
  const RunProgress progress = read_progress(run / "run.sqlite");
  if (progress.n_prompts > 0) {
    entry["n_prompts"] = progress.n_prompts;
    entry["n_valid"] = progress.n_valid;
  }
  entry["progress"] = progress_json(progress);
  const bool is_running = is_store_open_elsewhere(run / "run.sqlite");
  if (is_running) entry["state"] = "running";
  return entry;
}

}  // namespace

RunsFolder::RunsFolder(const fs::path& root) {
  std::error_code error;
  root_ = fs::canonical(root, error);
  require<IoError>(
      !error && fs::is_directory(root_, error), root.string(), ": no such folder of runs");
  fs::directory_iterator(root_, error);
  require<IoError>(!error, root.string(), ": cannot list: ", error.message());
}

std::optional<fs::path> RunsFolder::find(const std::string& name) const {
  for (const fs::path& run : runs_in(root_)) {
    if (run.filename().native() == name) return run;
  }
  return std::nullopt;
}

Json RunsFolder::finished_entry(const fs::path& run) const {
  const fs::path file = run / "summary.json";
  std::error_code error;
  const uintmax_t size = fs::file_size(file, error);
  require<DataError>(!error && size <= kMostSummaryBytes, file.string(), ": larger than 64 MiB");
  const int64_t changed = changed_seconds(file);
  const std::string name = run.filename().string();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = known_.find(name);
    if (known != known_.end() && known->second.changed == changed && known->second.size == size)
      return known->second.entry;
  }
  const AuditSummary summary = AuditSummary::from_json(read_json_file(file));
  Json entry = empty_entry(run);
  entry.update({{"state", "finished"},
                {"changed", changed},
                {"behaviour", summary.behaviour},
                {"model", summary.model},
                {"sae", summary.sae},
                {"verdict", summary.verdict},
                {"n_prompts", summary.n_prompts},
                {"n_valid", summary.n_valid}});
  const std::lock_guard<std::mutex> lock(mutex_);
  known_[name] = {changed, size, entry};
  return entry;
}

Json RunsFolder::entry_of(const fs::path& run) const {
  try {
    return is_plain_file(run / "summary.json") ? finished_entry(run) : going_entry(run);
  } catch (const Error& e) {
    Json entry = empty_entry(run);
    entry["state"] = "damaged";
    entry["note"] = e.what();
    return entry;
  }
}

Json RunsFolder::list() const {
  std::vector<Json> entries;
  for (const fs::path& run : runs_in(root_)) entries.push_back(entry_of(run));
  std::sort(entries.begin(), entries.end(), [](const Json& a, const Json& b) {
    const auto key = [](const Json& entry) { return entry["changed"].get<int64_t>(); };
    return key(a) != key(b) ? key(a) > key(b) : a["name"] < b["name"];
  });
  return entries;
}

Json RunsFolder::describe(const fs::path& run) const {
  Json entry = entry_of(run);
  const RunProgress progress = read_progress(run / "run.sqlite");
  entry["batches"] = progress.plan ? Json(progress.plan->batches) : Json();
  entry["rows"] = Json::array();
  for (const RowProgress& row : progress.rows) {
    entry["rows"].push_back({{"row", row.row},
                             {"tries", row.tries},
                             {"recovered", row.recovered},
                             {"batches", row.batches}});
  }
  return entry;
}

}  // namespace rebound
