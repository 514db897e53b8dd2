// Building a defence that makes a model refuse, and choosing its strength on training requests.
//
// Refusing answers are a fixed refusal after each training request, complying ones what the base
// model answers; the means of both over the answers' tokens give directions and features
// (intervene/contrast.h).
#pragma once

#include <functional>
#include <memory>

#include "rebound/audit/answer_subject.h"

namespace rebound {

struct ChosenDefence {
  std::shared_ptr<const ClampPlan> plan;
  Json choice;  // how, with every strength tried; null where it was given as edits
  std::vector<std::string> sae_names;
};

// Says the sweep on stderr as a table. Throws ConfigError, DataError or IoError.
ChosenDefence choose_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject);
// The defence that a run chose before, from its stored choice; nothing is tried again.
ChosenDefence restore_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Json& choice);

}  // namespace rebound
