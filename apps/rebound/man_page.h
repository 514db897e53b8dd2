// Manual pages in roff (man macros) from the tree of verbs: what --help says, and the tables of
// verb_facts.h.
#pragma once

#include <string>
#include <vector>

#include "verb_tree.h"

namespace rebound {

// "rebound-sae-train", the page's name without its section.
std::string man_name(const VerbFacts& verb);

// A page of section 1. `version`: "rebound 0.1.0". Pages carry no date: the same program makes the
// same page.
std::string man_page(const VerbFacts& program, const VerbFacts& verb, const std::string& version);

}  // namespace rebound
