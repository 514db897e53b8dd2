// Completions of bash, zsh and fish from the tree of verbs: verbs and subverbs, flags (in zsh and
// fish with what they mean), choices, usual values, and files where a value is one. The scripts ask
// nothing of the program, so that a key stroke costs no start of it.
#pragma once

#include <string>
#include <vector>

#include "verb_tree.h"

namespace rebound {

// Of the tree's root; flags of the root may stand behind every verb.
std::string bash_completion(const VerbFacts& program);
std::string zsh_completion(const VerbFacts& program);
std::string fish_completion(const VerbFacts& program);

// Inside single quotes: ' becomes '\''.
std::string shell_quoted(const std::string& text);

}  // namespace rebound
