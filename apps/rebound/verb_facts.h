// What manual pages and completions say beyond flags: small tables, kept beside the verbs. Nothing
// in them repeats what the flags themselves say.
#pragma once

#include <string>
#include <vector>

#include "verb_tree.h"

namespace rebound {

// A line of EXIT STATUS, ENVIRONMENT or FILES. `verbs`: those whose page has it; empty: all pages.
struct NamedFact {
  std::string name, meaning;
  std::vector<std::string> verbs;
};
const std::vector<NamedFact>& exit_codes();
const std::vector<NamedFact>& environment_variables();
const std::vector<NamedFact>& default_files();

// A command of the verb, with what it does.
struct VerbExample {
  std::string verb, command, text;
};
const std::vector<VerbExample>& verb_examples();

// Those that a verb's page has: its own and its subverbs', and for the program one of each verb.
std::vector<NamedFact> facts_for(const std::vector<NamedFact>& facts, const VerbFacts& verb);
std::vector<VerbExample> examples_for(const VerbFacts& verb);

// The page of docs/ that tells the whole of it: "docs/sae.md".
std::string documentation_of(const VerbFacts& verb);

// What may stand for a flag's value. Numbers have neither words nor files.
struct ValueWords {
  std::vector<std::string> words;  // the choices, or the usual ones of an open set
  bool has_files = false;
};
ValueWords value_words(const VerbFacts& verb, const FlagFacts& flag);
// Flags that value_words has in a table of its own: {"audit", "--preset"}; "" means every verb.
std::vector<std::pair<std::string, std::string>> named_values();

}  // namespace rebound
