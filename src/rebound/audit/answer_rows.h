// The rows of an audit of whole answers: each attacks one batch of refused requests, lets the model
// answer under the clamps with the perturbation in place, and judges the answers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

// Minimal budgets of injections are searched up to so many times the row's: other answers start further away,
// and per nat of gap a search that ends at the same norm could not cost more.
constexpr double kInjectCaps = 4;

struct AnswerRow {
  RowSummary head;
  // Results, and steps where the spec wants them; `row` and `batch` are the caller's.
  std::function<FinishedBatch(const AnswerBatch&)> run;
};

// Attacks of the spec, then the controls of its headline row: clamp_only, random, power (the flips
// that it missed, with a leak planted in the model), inject.
std::vector<AnswerRow> answer_rows(const AnswerAuditSpec& spec);

}  // namespace rebound
