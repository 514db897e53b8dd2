#include "rebound/audit/chosen_on.h"

#include "rebound/audit/fold_defence.h"
#include "rebound/audit/utility.h"
#include "rebound/base/error.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/sae/text_files.h"

namespace rebound {

std::optional<ChosenOn> chosen_on(const AuditSpec& spec) {
  const bool reads_retained = spec.has_folds() && spec.defence.features.empty() &&
                              spec.defence.choice.rule == "firing_rates";
  if (!reads_retained) return std::nullopt;
  return ChosenOn{spec.behaviour, spec.seed};
}

std::set<std::string> facts_behind_choice(const ChosenOn& chosen_on, const Tokenizer& tokenizer) {
  std::vector<Question> questions;
  std::set<std::string> prompts;
  for (const Prompt& prompt :
       read_fact_set(chosen_on.behaviour, chosen_on.seed, tokenizer, questions).retain) {
    if (prompt.fold != 0) prompts.insert(prompt.text);
  }
  return prompts;
}

void require_unseen_text(const std::optional<ChosenOn>& chosen_on,
                         const std::filesystem::path& text,
                         int64_t contexts,
                         int64_t length) {
  if (!chosen_on) return;
  const std::filesystem::path read = find_project_path("data/text/heldout.txt.gz");
  std::error_code not_there;  // a text that is missing is the reader's error
  if (!text.empty() && !std::filesystem::equivalent(text, read, not_there)) return;
  require<ConfigError>(contexts * length <= kMeasuredContexts * ContextOptions().length,
                       "contexts: got ",
                       contexts,
                       " of ",
                       length,
                       " tokens, expected at most ",
                       kMeasuredContexts,
                       " of ",
                       ContextOptions().length,
                       " of ",
                       read.string(),
                       ": the run chose its defence on those behind them (or give another --text)");
}

}  // namespace rebound
