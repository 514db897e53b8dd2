// The runs in a folder, finished or going on. Names that come with a request are looked up in a
// listing of the folder and never joined to a path; links are left out, so that nothing outside the
// folder is reached.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "rebound/base/json.h"

namespace rebound {

class RunsFolder {
 public:
  // IoError unless `root` is a folder that can be listed.
  explicit RunsFolder(const std::filesystem::path& root);

  const std::filesystem::path& root() const { return root_; }

  // The folder of the run of exactly this name.
  std::optional<std::filesystem::path> find(const std::string& name) const;

  // All runs, the one that changed last first:
  //   {"name", "state": "running" | "stopped" | "finished" | "damaged", "changed": seconds since
  //    1970, "behaviour", "model", "sae", "verdict", "n_prompts", "n_valid",
  //    "progress": {"done", "total"} or null, "note"}
  // A figure that is not known yet is null. Nothing of a prompt or an answer is among them.
  Json list() const;

  // One run with what its rows have so far:
  //   {..., "rows": [{"row", "tries", "recovered", "batches"}], "batches": of each row, or null}
  // Throws IoError or DataError when its store cannot be read.
  Json describe(const std::filesystem::path& run) const;

 private:
  // Of a finished run, kept until its summary.json changes.
  struct Known {
    int64_t changed = 0;
    uintmax_t size = 0;
    Json entry;
  };
  Json entry_of(const std::filesystem::path& run) const;
  Json finished_entry(const std::filesystem::path& run) const;

  std::filesystem::path root_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Known> known_;
};

}  // namespace rebound
