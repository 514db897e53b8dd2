#include "rebound/audit/answer_cost.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace rebound {
namespace {

// Seconds a request, SmolLM2-135M-Instruct, 2 cores, 48 target and 64 answer tokens.
constexpr double kAnswer = 0.25, kAttackedAnswer = 1.2, kAttribution = 5.8, kMinimal = 3.8, kSoftStep = 0.18,
                 kCandidate = 0.079, kSearchSetup = 0.4;
constexpr double kFlipShare = 0.6, kEasyBudget = 20, kEasySteps = 4;

double seconds_per_step(const AnswerRowSpec& row) {
  static const std::map<std::string, double> kSteps = {{"jacobian", 6}, {"jacobian_sampled", 1.15}};
  const auto found = kSteps.find(row.constraint);
  return found == kSteps.end() ? 0.1 : found->second;
}

// Of one flip, the answers that it writes included.
double row_seconds(const AnswerAuditSpec& spec, const AnswerRowSpec& row, double answers) {
  if (row.kind == RowKind::kMinimalBudget) return kMinimal;
  const auto steps = static_cast<double>(row.steps);
  if (row.is_soft_suffix()) return steps * kSoftStep + answers;
  if (row.is_gcg()) return steps * static_cast<double>(row.suffix.search_width) * kCandidate + answers;
  const bool ends_early = row.constraint != "jacobian_sampled" && row.budget >= kEasyBudget;
  return kSearchSetup + (ends_early ? std::min(steps, kEasySteps) : steps) * seconds_per_step(row) + answers;
}

double flips_of(const AnswerRowSpec& row, double flips) {
  return row.suffix.prompts > 0 ? std::min(flips, static_cast<double>(row.suffix.prompts)) : flips;
}

}  // namespace

double expected_minutes(const AnswerAuditSpec& spec, int64_t n_requests) {
  const double length = static_cast<double>(spec.max_new_tokens) / 64;
  const double answer = kAnswer * length, attacked = kAttackedAnswer * length;
  const auto requests = static_cast<double>(n_requests);
  const double flips = std::ceil(kFlipShare * requests);
  double seconds = 2 * requests * answer;
  if (spec.defence.kind != "edits") {
    const double tried = spec.defence.strength ? 1 : static_cast<double>(spec.defence.strengths.size());
    seconds += tried * static_cast<double>(spec.behaviour.n_train + spec.defence.n_safe) * answer;
  }
  for (const AnswerRowSpec& row : spec.rows) seconds += flips_of(row, flips) * row_seconds(spec, row, attacked);
  const AnswerRowSpec& headline = spec.headline();
  if (spec.controls.is_on && !headline.is_at_input()) {
    seconds += flips * static_cast<double>(spec.controls.random_draws) * attacked;
    const double written = kSearchSetup + static_cast<double>(headline.steps) * seconds_per_step(headline) + attacked;
    seconds += flips * static_cast<double>(spec.controls.inject_answers) * (written + kMinimal);
  }
  if (spec.attribution.is_on && !headline.is_at_input()) seconds += flips * kAttribution * length;
  seconds += static_cast<double>(spec.feature_counts.size()) *
             (requests * answer + flips * row_seconds(spec, headline, attacked));
  return seconds / 60;
}

}  // namespace rebound
