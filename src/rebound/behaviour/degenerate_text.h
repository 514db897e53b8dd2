// Text that is no answer: repetition, one character, symbols, or words that have nothing to do with
// the request. Each rule is a count in the text itself; thresholds are options.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rebound {

enum class Degeneracy {
  kNone,
  kWordRun,       // one word many times in a row
  kLoop,          // a phrase over and over
  kFewWords,      // hardly any distinct token
  kOneCharacter,  // one character dominates, or runs on and on
  kSymbols,       // hardly any letter or digit
  kUnrelated,     // shares no content word with the request
};
std::string name_of(Degeneracy degeneracy);  // "none", "word_run", ...

struct DegeneracyOptions {
  int word_run = 4;     // the same word (with a letter in it) in a row
  int loop_copies = 3;  // of 2 to 40 tokens, back to back, at least 12 tokens in all
  double min_unique_token_ratio = 0.25;  // of texts with at least 20 tokens
  double max_character_ratio = 0.30;     // of texts with at least 20 characters
  int letter_run = 10;                   // the same letter in a row
  double min_alphanumeric_ratio = 0.5;   // of characters that are not white space, from 20 on
  int unrelated_characters = 80;         // answers shorter than this are never unrelated
  void validate() const;                 // ConfigError
};

// The first rule that holds, in the order of the enumeration. Without a request nothing is
// unrelated. A word counts as shared when the first five letters are the same; words of fewer than
// three letters and the commonest ones do not count, and a request without content words relates to
// everything. (On XSTest 0.7 % of the complying answers share none, and 85 % of answers to another
// request: docs/detect.md.)
Degeneracy find_degeneracy(std::string_view text,
                           std::string_view request = {},
                           const DegeneracyOptions& options = {});

}  // namespace rebound
