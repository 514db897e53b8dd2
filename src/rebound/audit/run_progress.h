// How far a run has come, read while it goes on. The store is opened for reading alone and held for
// a few queries; SQLite's WAL mode lets the run write meanwhile.
//
//   const RunProgress progress = read_progress(folder / "run.sqlite");
//   progress.n_done() of progress.plan->n_parts()
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/audit/store.h"

namespace rebound {

// What a run is going to do: every batch of every row. Stored when its rows begin.
struct RunPlan {
  std::vector<std::string> rows;
  int64_t batches = 0;

  int64_t n_parts() const { return static_cast<int64_t>(rows.size()) * batches; }
};

struct RowProgress {
  std::string row;
  int64_t tries = 0;  // stored results; several a prompt in rows of draws and targets
  int64_t recovered = 0;
  int64_t batches = 0;  // finished ones
};

struct RunProgress {
  int64_t n_prompts = 0;          // test prompts scored so far; 0 before that
  int64_t n_valid = 0;            // valid flips among them
  std::vector<RowProgress> rows;  // in the order in which they were first stored
  std::optional<RunPlan> plan;    // none before the rows begin, and in runs of older versions

  int64_t n_done() const;  // finished batches of all rows
};

void put_plan(Store& store, const RunPlan& plan);

// Throws IoError when the store cannot be opened, DataError when it is none.
RunProgress read_progress(const std::filesystem::path& store);

}  // namespace rebound
