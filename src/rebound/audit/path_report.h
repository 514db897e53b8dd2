// Recovery-path attribution of the headline row, per batch and over the whole run.
#pragma once

#include "rebound/audit/rows.h"
#include "rebound/recover/path_parts.h"

namespace rebound {

// {"prompts": [...], "full": [...], "parts": {...}, ...} of one batch; null where the headline row
// left no perturbation.
Json attribute_batch(const BatchContext& context, const AuditSpec& spec, const Store& store, int64_t batch);

// Lists over examples, as in the artefacts "path/<batch>".
Json to_json(const PathFigures& figures);

// Counts over all batches, as in the published table: recovered by replay, knock-out and
// norm-matched replay of each part; Shapley shares; the main route in words. Recovered is
// what the artefacts judged under "recovered" (lists of 0 and 1 at the same places), else a score above 0.
Json summarise_paths(const Store& store, int64_t n_batches);

}  // namespace rebound
