// Runs an audit of whole answers into a folder, a batch of a row at a time (files as in runner.h).
// Answers are stored redacted: category, length, hash, class of the opening, verdict.
#pragma once

#include <filesystem>
#include <functional>

#include "rebound/audit/answer_spec.h"
#include "rebound/audit/summary.h"

namespace rebound {

// As run_audit and resume_audit.
AuditSummary run_answer_audit(const AnswerAuditSpec& spec, const std::filesystem::path& folder,
                              const std::function<bool()>& is_interrupted = {});
AuditSummary resume_answer_audit(const std::filesystem::path& folder, const std::function<bool()>& is_interrupted = {});

}  // namespace rebound
