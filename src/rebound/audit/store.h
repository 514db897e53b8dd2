// run.sqlite: everything an audit measured, one transaction per finished batch.
//
//   Store store = Store::create(folder / "run.sqlite");
//   store.put_examples(examples);
//   if (!store.is_done(row, batch)) store.put_batch({row, batch, results, traces});
//
// A batch is there whole or not at all: after kill -9 or on a full disk the finished ones stay and
// is_done tells which. Tables (SQLite, WAL mode, user_version = kSchemaVersion):
//
//   meta(key, value)                 examples(prompt, id, text, ids, correct, wrong, base_score,
//   batches(row, batch)                       defended_score, is_valid, split, extra)
//   artefacts(name, blob)            results(row, prompt, variant, batch, recovered, score,
//   trace(prompt, row, step,                 recheck_score, steps, seconds, termination, figures)
//         objective, drift_pre, norm)
//
// `ids`, `extra` and `figures` are JSON. A figure that was not measured is NaN here, NULL there.
// Errors: IoError (cannot open, read-only, disk full), DataError (no store, another version).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace SQLite {
class Database;
class Statement;
}  // namespace SQLite

namespace rebound {

// A prompt with the token it should prefer and the one it must beat.
struct StoredExample {
  int64_t prompt = 0;  // index in the spec's order
  std::string id = {};
  std::string text = {};  // empty where the prompt came as ids
  std::vector<int64_t> ids = {};
  std::string correct = {};
  std::string wrong = {};
  double base_score = 0;
  double defended_score = 0;
  bool is_valid = false;       // a valid flip
  std::string split = "test";  // "train": used to choose the defence or to fit a shared delta
  Json extra = Json::object();
};

// One row tried on one example. `variant` tells apart draws and targets: "", "draw 3", " Tom".
struct StoredResult {
  std::string row = {};
  int64_t prompt = 0;
  std::string variant = {};
  int64_t batch = 0;
  bool recovered = false;
  double score = 0;
  double recheck_score = 0;  // uncached float32 full forward
  int64_t steps = 0;
  double seconds = 0;
  std::string termination = {};
  Json figures = Json::object();  // "drift_pre_l2", "norm", "minimal_budget", ...
};

struct TracePoint {
  int64_t prompt = 0;
  std::string row = {};
  int64_t step = 0;
  double objective = 0;
  double drift_pre = 0;
  double norm = 0;
};

struct FinishedBatch {
  std::string row = {};
  int64_t batch = 0;
  std::vector<StoredResult> results = {};  // their `row` and `batch` are set by put_batch
  std::vector<TracePoint> traces = {};     // their `row` too
};

struct StoreOptions {
  int64_t max_pages = 0;  // cap on the file in pages of 4096 bytes; 0: none
};

class Store {
 public:
  static constexpr int kSchemaVersion = 1;

  // IoError when the file exists.
  static Store create(const std::filesystem::path& path, const StoreOptions& options = {});
  // For resuming. DataError when the file is not a store of this version.
  static Store open(const std::filesystem::path& path, const StoreOptions& options = {});
  // For reports: works in a read-only folder.
  static Store open_read_only(const std::filesystem::path& path);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  void put_meta(const std::string& key, const std::string& value);
  std::optional<std::string> meta(const std::string& key) const;

  // Each call is one transaction; an example of the same index is replaced.
  void put_examples(const std::vector<StoredExample>& examples);
  std::vector<StoredExample> examples() const;  // in the order of `prompt`

  bool is_done(const std::string& row, int64_t batch) const;
  // One transaction: results, traces and the mark that is_done reads.
  void put_batch(const FinishedBatch& finished);
  // In the order of row (as first stored), prompt, variant.
  std::vector<StoredResult> results() const;
  std::vector<StoredResult> results(const std::string& row) const;
  std::vector<TracePoint> traces() const;

  void put_artefact(const std::string& name, const std::string& bytes);
  std::optional<std::string> artefact(const std::string& name) const;

 private:
  Store(std::filesystem::path path, std::unique_ptr<SQLite::Database> database);
  void check_version() const;
  void write(const std::function<void()>& body);
  std::vector<StoredResult> read_results(const std::string& where, const std::string& row) const;

  std::filesystem::path path_;
  std::unique_ptr<SQLite::Database> database_;
};

}  // namespace rebound
