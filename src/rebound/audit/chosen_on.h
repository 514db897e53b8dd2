// What a finished run of facts or questions chose the defence of its first fold on, so that nobody
// measures there what that defence costs.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "rebound/audit/spec.h"
#include "rebound/text/tokenizer.h"

namespace rebound {

// The rule firing_rates (fold_rates.h) reads the retained facts of all other folds, and
// retain_contexts.
struct ChosenOn {
  BehaviourSpec behaviour;
  uint64_t seed = 0;
};

// Nothing where features were given, or chosen by a rule that reads nothing to retain.
std::optional<ChosenOn> chosen_on(const AuditSpec& spec);

// Prompts of the run's retained facts in every fold but the first. Throws what read_fact_set
// throws.
std::set<std::string> facts_behind_choice(const ChosenOn& chosen_on, const Tokenizer& tokenizer);

// ConfigError where so many contexts of `length` tokens of the text (empty: the default one) reach
// those that the rule reads.
void require_unseen_text(const std::optional<ChosenOn>& chosen_on,
                         const std::filesystem::path& text,
                         int64_t contexts,
                         int64_t length);

}  // namespace rebound
