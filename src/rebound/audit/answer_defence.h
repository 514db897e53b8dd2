// Choosing the strength of a defence that makes a model refuse, on training requests.
#pragma once

#include <memory>

#include "rebound/audit/answer_design.h"

namespace rebound {

struct ChosenDefence {
  std::shared_ptr<const ClampPlan> plan;
  std::shared_ptr<const AnswerDesign> design;  // null where the clamps were given as edits
  double strength = 0;                         // of the design
  Json choice;  // how, with every strength tried; null where it was given as edits
  std::vector<std::string> sae_names;
};

// Says the sweep on stderr as a table. Throws ConfigError, DataError or IoError.
ChosenDefence choose_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject);
// The defence that a run chose before, from its stored choice; nothing is tried again.
ChosenDefence restore_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Json& choice);

}  // namespace rebound
