#include "rebound/audit/training_flips.h"

#include <algorithm>

namespace rebound {
namespace {

constexpr size_t kMostFlips = 32;

bool has_folds(const Subject& subject) {
  return !subject.prompts.test.empty() && subject.prompts.test.front().fold >= 0;
}

std::vector<Prompt> training_prompts(const Subject& subject, int64_t fold) {
  if (!has_folds(subject)) return subject.prompts.train;
  std::vector<Prompt> others;
  for (const Prompt& prompt : subject.prompts.test) {
    if (prompt.fold == fold) continue;
    others.push_back(prompt);
    others.back().fold = fold;  // the defence they are run under
  }
  return others;
}

// Every k-th, so that all folds are among them.
std::vector<ScoredExample> thinned(const std::vector<ScoredExample>& flips, size_t most) {
  if (flips.size() <= most) return flips;
  std::vector<ScoredExample> out;
  for (size_t i = 0; i < most; ++i) out.push_back(flips[i * flips.size() / most]);
  return out;
}

}  // namespace

TrainingFlips::TrainingFlips(const Subject& subject, const AuditSpec& spec, int64_t fold)
    : prompts_(std::make_shared<const std::vector<Prompt>>(training_prompts(subject, fold))) {
  std::vector<ScoredExample> flips = flips_of(score_examples(subject, *prompts_, spec.batch));
  const size_t most = std::min(kMostFlips, static_cast<size_t>(spec.batch));
  if (has_folds(subject))
    flips = thinned(flips, most);
  else
    flips.resize(std::min(flips.size(), most));
  if (!flips.empty())
    context_ = std::make_unique<BatchContext>(BatchContext::build(subject, spec, std::move(flips)));
}

}  // namespace rebound
