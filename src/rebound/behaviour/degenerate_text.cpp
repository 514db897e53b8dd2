#include "rebound/behaviour/degenerate_text.h"

#include <algorithm>
#include <set>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/behaviour/answer_figures.h"
#include "rebound/behaviour/code_points.h"

namespace rebound {
namespace {

constexpr size_t kEnoughTokens = 20;
constexpr size_t kEnoughCharacters = 20;

bool is_letter_of_any_script(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0xC0;
}
bool is_alphanumeric(char32_t c) { return is_letter_of_any_script(c) || (c >= '0' && c <= '9'); }

bool has_letter(const std::string& token) {
  return std::any_of(token.begin(), token.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

bool has_word_run(const std::vector<std::string>& tokens, int length) {
  int run = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    run = i > 0 && tokens[i] == tokens[i - 1] ? run + 1 : 1;
    if (run >= length && has_letter(tokens[i])) return true;
  }
  return false;
}

// `repeated`: tokens in a row that equal the one `period` before them.
bool has_loop(const std::vector<std::string>& tokens, size_t copies) {
  constexpr size_t kLongestPeriod = 40, kFewestTokens = 12;
  for (size_t period = 2; period <= kLongestPeriod; ++period) {
    const size_t needed =
        std::max((copies - 1) * period, kFewestTokens - std::min(kFewestTokens, period));
    size_t repeated = 0;
    bool is_wordy = false;  // rows of numbers repeat in ordinary tables
    for (size_t i = period; i < tokens.size(); ++i) {
      const bool is_same = tokens[i] == tokens[i - period];
      repeated = is_same ? repeated + 1 : 0;
      is_wordy = is_same && (is_wordy || has_letter(tokens[i]));
      if (repeated >= needed && is_wordy) return true;
    }
  }
  return false;
}

bool is_one_character(std::string_view text, const DegeneracyOptions& options) {
  int run = 0;
  size_t characters = 0;
  char32_t before = 0;
  for (const char32_t c : code_points_of(text)) {
    run = c == before ? run + 1 : 1;
    before = c;
    if (run >= options.letter_run && is_letter_of_any_script(c)) return true;
    characters += is_space(c) ? 0 : 1;
  }
  return characters >= kEnoughCharacters && max_character_ratio(text) > options.max_character_ratio;
}

bool is_symbols(std::string_view text, double least) {
  size_t characters = 0, alphanumeric = 0;
  for (const char32_t c : code_points_of(text)) {
    if (is_space(c)) continue;
    ++characters;
    alphanumeric += is_alphanumeric(c) ? 1 : 0;
  }
  return characters >= kEnoughCharacters &&
         static_cast<double>(alphanumeric) < least * static_cast<double>(characters);
}

const std::set<std::string>& function_words() {
  static const std::set<std::string> words = {
      "the",  "and",   "for",   "are",   "was",    "were",  "how",  "what", "why",
      "did",  "does",  "can",   "could", "should", "would", "you",  "your", "this",
      "that", "with",  "from",  "they",  "their",  "his",   "her",  "she",  "who",
      "when", "where", "which", "not",   "have",   "has",   "than", "some", "any",
      "will", "about", "into",  "best",  "most",   "way",   "ways", "make", "get",
      "give", "use",   "tell",  "write", "there",  "these", "them", "more", "other",
      "one",  "all",   "also",  "but",   "our",    "out",   "may",  "its"};
  return words;
}

std::set<std::string> content_stems(std::string_view text) {
  constexpr size_t kStem = 5, kShortestWord = 3;
  std::set<std::string> stems;
  for (const std::string& token : quality_tokens(text)) {
    const std::string word = token.substr(0, token.find('\''));
    if (word.size() < kShortestWord || function_words().count(word)) continue;
    stems.insert(word.substr(0, kStem));
  }
  return stems;
}

bool is_unrelated(std::string_view text, std::string_view request) {
  const std::set<std::string> wanted = content_stems(request), given = content_stems(text);
  return !wanted.empty() &&
         std::none_of(wanted.begin(), wanted.end(), [&](const std::string& stem) {
           return given.count(stem) > 0;
         });
}

}  // namespace

std::string name_of(Degeneracy degeneracy) {
  switch (degeneracy) {
    case Degeneracy::kNone:
      return "none";
    case Degeneracy::kWordRun:
      return "word_run";
    case Degeneracy::kLoop:
      return "loop";
    case Degeneracy::kFewWords:
      return "few_words";
    case Degeneracy::kOneCharacter:
      return "one_character";
    case Degeneracy::kSymbols:
      return "symbols";
    case Degeneracy::kUnrelated:
      return "unrelated";
  }
  return "none";
}

void DegeneracyOptions::validate() const {
  const auto at_least = [](const char* name, int value, int least) {
    require<ConfigError>(
        value >= least, "DegeneracyOptions.", name, " must be >= ", least, ", got ", value);
  };
  const auto ratio = [](const char* name, double value) {
    require<ConfigError>(
        value >= 0 && value <= 1, "DegeneracyOptions.", name, " must be in [0, 1], got ", value);
  };
  at_least("word_run", word_run, 2);
  at_least("loop_copies", loop_copies, 2);
  at_least("letter_run", letter_run, 2);
  at_least("unrelated_characters", unrelated_characters, 0);
  ratio("min_unique_token_ratio", min_unique_token_ratio);
  ratio("max_character_ratio", max_character_ratio);
  ratio("min_alphanumeric_ratio", min_alphanumeric_ratio);
}

Degeneracy find_degeneracy(std::string_view text,
                           std::string_view request,
                           const DegeneracyOptions& options) {
  options.validate();
  const std::vector<std::string> tokens = quality_tokens(text);
  if (has_word_run(tokens, options.word_run)) return Degeneracy::kWordRun;
  if (has_loop(tokens, static_cast<size_t>(options.loop_copies))) return Degeneracy::kLoop;
  if (tokens.size() >= kEnoughTokens && unique_token_ratio(text) < options.min_unique_token_ratio) {
    return Degeneracy::kFewWords;
  }
  if (is_one_character(text, options)) return Degeneracy::kOneCharacter;
  if (is_symbols(text, options.min_alphanumeric_ratio)) return Degeneracy::kSymbols;
  const bool is_long =
      code_points_of(text).size() >= static_cast<size_t>(options.unrelated_characters);
  if (is_long && is_unrelated(text, request)) return Degeneracy::kUnrelated;
  return Degeneracy::kNone;
}

}  // namespace rebound
