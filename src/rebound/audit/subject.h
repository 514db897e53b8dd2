// Everything an audit is about, loaded: model, SAE, prompts, defence.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rebound/audit/spec.h"
#include "rebound/behaviour/prompts.h"
#include "rebound/behaviour/questions.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/feature_attribution.h"
#include "rebound/model/transformer.h"

namespace rebound {

struct Subject {
  std::string model_name, sae_name;
  std::string model_sha256, sae_sha256;  // empty for planted models
  std::shared_ptr<const Transformer> model;   // float32
  std::shared_ptr<const Transformer> search;  // of the spec's dtype; the same object for float32
  std::shared_ptr<const Sae> sae;
  PromptSet prompts;
  // Facts and questions alone, but for `left_out`.
  std::vector<Prompt> retain;       // what the defence should leave
  std::vector<Question> questions;  // in the file's order; empty for facts
  Json left_out;                    // how many were not used, and why; perhaps null
  FeatureStatistics statistics;  // over the training prompts (test prompts when there are none)
  // The first is the defence of all prompts without features of their own; of facts and
  // questions, one a fold.
  std::vector<std::shared_ptr<const Defence>> defences;
  Json choice;           // how the defence was chosen; null when it was given
  std::shared_ptr<const Tokenizer> tokenizer;  // null for planted models

  const Defence& defence_of(const Prompt& prompt) const;
  std::string token_text(int64_t id) const;
};

// Files that an empty spec field means. Throws IoError.
std::string find_default_sae();

// What every list or flag of SAEs means by a name: "" the default; a file or folder here, in the
// project around the program or in $REBOUND_HOME; ORG/NAME[@REVISION][:PATH] in the Hugging Face
// cache. IoError naming where it looked, or the command that gets it.
std::string find_sae(const std::string& given);

// Loads, checks that all fits together, self-checks the SAE and chooses the defence. Throws
// ConfigError, DataError or IoError. What was chosen is said on stderr.
Subject load_subject(const AuditSpec& spec);

// Drops training prompts that are test prompts, too: by their tokens, or by an id that is no line
// number. Returns how many.
int64_t drop_tested(std::vector<Prompt>& train, const std::vector<Prompt>& test);

// What the right answers must beat: [n], or [n, k] where the prompts have k rivals each.
at::Tensor wrong_tokens(const std::vector<const Prompt*>& prompts);
ScoredPrompts scored(const std::vector<const Prompt*>& prompts);

}  // namespace rebound
