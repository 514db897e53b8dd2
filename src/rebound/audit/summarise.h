// From stored results to the summary: a pure function of the store, so that a resumed run ends
// with the summary of an uninterrupted one.
#pragma once

#include <vector>

#include "rebound/audit/rows.h"
#include "rebound/audit/verdict.h"

namespace rebound {

// Fills the figures of `head` from the row's results; `clusters` [prompt index] groups
// near-duplicates for the interval (recovery_interval).
RowSummary summarise_row(RowSummary head,
                         const std::vector<StoredResult>& results,
                         const std::vector<int64_t>& clusters);

// What the verdict takes from the headline row and from its power check (null: it did not run).
void fill_recovery(const RowSummary& row, const RowSummary* power, VerdictInput& input);

struct SummaryInput {
  const AuditSpec& spec;
  const Store& store;
  std::vector<RowSummary> heads;  // in the order of the report
  std::vector<int64_t> clusters;  // [prompt index]
  int64_t n_prompts = 0;
  int64_t n_valid = 0;
  std::vector<int64_t> folds = {};  // [prompt index], < 0 where there are none
};

// Rows, controls, headline, verdict; names, defence, attribution and environment are the caller's.
AuditSummary summarise(const SummaryInput& input);

}  // namespace rebound
