// What the page shows of each example, as data by columns: the page's script makes the table and
// the details of it.
//
//   {"redacted", "answers", "headline": place in "rows", or null,
//    "examples": {"prompt", "id", "split", "flip", "base", "defended", "note",
//                 "text", "ids", "correct", "wrong"},                 // the last four with
//                 show_text
//    "rows": [{"number", "name", "label", "role", "many", "results": {"prompt", "recovered",
//              "variant", "termination", FIGURE...}}],
//    "steps": [{"row", "prompt", "step", "objective", "drift_pre", "norm"}], "steps_left_out",
//    "positions": [{"row", "prompt", "norms"}], "routes": {PROMPT: {"parts", "sites"}},
//    "moved": [{"row", "prompt", "features": [[SITE AND FEATURE, SHIFT], ...]}]}
//
// Figures have four significant digits. Every list under "results" is as long as "prompt"; a figure
// that no result has is left out. A row with several tries of a prompt keeps outcome, score and
// budgets alone. Hashes of answers stay in the store.
#pragma once

#include "rebound/report/report.h"

namespace rebound {

Json example_data(const ReportInput& input, const ReportOptions& options);

// The name of a result's variant: what an injection writes is text of an example, and becomes
// "target 2" unless texts are shown.
std::string variant_name(const RowSummary* row, const std::string& variant, bool show_text);

// The score under the result's perturbation. NaN of a search for the smallest norm, which stores
// the score that it began with, and of whole answers that were measured without a search.
double score_of(const StoredResult& result);

// Of an entry of drift_by_feature, {"site", "feature"}: the feature's number, or "direction" where
// the defence clamps a direction there.
std::string reading_name(const AuditSummary& summary, const Json& entry);

}  // namespace rebound
