// How long an audit of whole answers will take, before it starts.
#pragma once

#include "rebound/audit/answer_spec.h"

namespace rebound {

// Minutes on 2 cores of the machine of docs/performance.md, from its measured seconds a step and an answer, when
// `n_requests` are tried and 60 % of them are valid flips. Good to a factor of two: searches end when they succeed.
double expected_minutes(const AnswerAuditSpec& spec, int64_t n_requests);

}  // namespace rebound
