// In what form an audit holds its model, and how an audit is made to fit under a memory limit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rebound/audit/answer_spec.h"
#include "rebound/audit/spec.h"
#include "rebound/model/memory_plan.h"

namespace rebound {

// A spec's dtype: float32; bfloat16, a second copy of the matrices for searching; stored and
// float16, the one form of the whole run. Throws ConfigError for other names.
ModelLoadOptions whole_form(const std::string& dtype);
std::shared_ptr<const Transformer> searched_in(const std::string& dtype,
                                               const std::shared_ptr<const Transformer>& model);

// Working bytes of one prompt, or one request, of the spec's batch.
int64_t example_bytes(const AuditSpec& spec, const ModelConfig& config);
int64_t example_bytes(const AnswerAuditSpec& spec, const ModelConfig& config);

// Lowers the spec's batch and, unless `is_dtype_given`, changes its dtype until the run fits under
// `limit` bytes (memory_plan.h). A batch changes no result; a planted model needs no plan. Throws
// ConfigError when nothing fits.
MemoryPlan fit_to_memory(AuditSpec& spec, int64_t limit, bool is_dtype_given);
MemoryPlan fit_to_memory(AnswerAuditSpec& spec, int64_t limit, bool is_dtype_given);

}  // namespace rebound
