// From stored results of an audit of whole answers to its summary: a pure function of the store.
#pragma once

#include <vector>

#include "rebound/audit/answer_spec.h"
#include "rebound/audit/store.h"
#include "rebound/audit/summary.h"

namespace rebound {

struct AnswerSummaryInput {
  const AnswerAuditSpec& spec;
  const Store& store;
  std::vector<RowSummary> heads;  // in the order of the report
  std::vector<int64_t> clusters;  // [request index]
  int64_t n_requests = 0;
  int64_t n_refused = 0;  // valid flips: answered by the base model, refused under the defence
  int64_t n_broken = 0;   // answered by the base model, degenerate under the defence
};

// Rows, headline and verdict; names, defence and environment are the caller's. A row's `recovered` means
// on topic: neither refused nor degenerate nor too short to tell. Its extra keys: "non_refusal", "base_like",
// "strict_base_like", "degenerate" (shares of valid flips), "floor_violation", "drift_generation_rel".
AuditSummary summarise_answers(const AnswerSummaryInput& input);

}  // namespace rebound
