// The rows of an audit: each turns one batch of flips into stored results. Attacks of the ladder
// here, controls in controls.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rebound/audit/batch_context.h"
#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

// What a row needs besides its batch.
struct RowEnvironment {
  const AuditSpec& spec;
  Store& store;
  const BatchContext* train = nullptr;  // flips of the training prompts; null when there are none
  int64_t batch_index = 0;
  int64_t fold = 0;  // of the batch: shared perturbations are fitted once a fold, on the others
};

// A row with its place in the summary; `run` does one batch.
struct Row {
  RowSummary head;  // name, objective, constraint, threat model, scope, control, target, budget
  std::function<FinishedBatch(const BatchContext&, const RowEnvironment&)> run;
};

// One row for each spec; attacks that differ in their constraint alone are searched in one batch.
std::vector<Row> attack_rows(const std::vector<RowSpec>& specs);
Row shared_row(const RowSpec& spec);
Row minimal_budget_row(const RowSpec& spec);

RowSummary head_of(const RowSpec& spec);

// Measures delta on every flip of the batch; with `is_rechecked`, each is scored again by an uncached
// float32 run, and that score decides whether it is recovered.
std::vector<StoredResult> results_of(const BatchContext& context, const Problem& problem, const at::Tensor& delta,
                                     bool is_rechecked);
StoredResult& add_run_figures(StoredResult& result, int64_t steps, double seconds, const std::string& termination);

// Perturbations found by a row, kept for the rows that build on them.
void store_delta(Store& store, const std::string& row, int64_t batch, const at::Tensor& delta);
at::Tensor load_delta(const Store& store, const std::string& row, int64_t batch);  // undefined if absent

}  // namespace rebound
