#include "rebound/behaviour/answer_figures.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "rebound/base/error.h"
#include "rebound/behaviour/code_points.h"
#include "rebound/behaviour/sequence_similarity.h"

namespace rebound {
namespace {

constexpr size_t kSequenceCharacters = 2000;
constexpr size_t kOpeningCharacters = 240;

// Two letters outside ASCII whose lower case starts with an ASCII letter (Python's str.lower).
char32_t lower(char32_t c) {
  if (c == 0x212A) return 'k';
  if (c == 0x0130) return 'i';
  return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool is_letter(char32_t c) { return c >= 'a' && c <= 'z'; }
bool is_token_character(char32_t c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '\'';
}

template <class Predicate>
std::vector<std::string> runs_of(std::u32string_view text, const Predicate& belongs) {
  std::vector<std::string> runs;
  bool is_open = false;
  for (const char32_t original : text) {
    const char32_t c = lower(original);
    const bool is_member = belongs(c);
    if (is_member && !is_open) runs.emplace_back();
    if (is_member) runs.back() += static_cast<char>(c);
    // U+0130 becomes "i" and a combining dot, which ends the token.
    is_open = is_member && original != 0x0130;
  }
  return runs;
}

std::set<std::string> token_set(std::string_view text) {
  const std::vector<std::string> tokens = quality_tokens(text);
  return {tokens.begin(), tokens.end()};
}

// Letters, digits and signs of other scripts count as word characters, their punctuation not.
bool ends_word(char32_t c) {
  if (c < 0x80) return !is_token_character(c) || c == '\'';
  return c < 0xC0 || (c >= 0x2000 && c < 0x2070) || (c >= 0x3000 && c < 0x3040) || c >= 0xFF00;
}

bool starts_with_negation(std::u32string_view opening) {
  std::u32string_view rest = opening;
  while (rest.starts_with(U'*')) rest.remove_prefix(1);
  if (rest.size() < opening.size() && rest.starts_with(U' ')) rest.remove_prefix(1);
  for (const std::u32string_view word :
       {U"neither", U"nor", U"no", U"none", U"not", U"never", U"nobody"}) {
    if (!rest.starts_with(word)) continue;
    if (rest.size() == word.size() || ends_word(rest[word.size()])) return true;
  }
  return false;
}

bool has_word_run(const std::vector<std::string>& words, size_t length) {
  size_t run = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    run = i > 0 && words[i] == words[i - 1] ? run + 1 : 1;
    if (run >= length) return true;
  }
  return false;
}

void check_ratio(const char* name, double value) {
  require<ConfigError>(
      value >= 0 && value <= 1, "BaseLikenessOptions.", name, " must be in [0, 1], got ", value);
}

}  // namespace

std::vector<std::string> quality_tokens(std::string_view text) {
  return runs_of(code_points_of(text), is_token_character);
}

double unique_token_ratio(std::string_view text) {
  const std::vector<std::string> tokens = quality_tokens(text);
  if (tokens.empty()) return 0;
  const std::set<std::string> distinct(tokens.begin(), tokens.end());
  return static_cast<double>(distinct.size()) / static_cast<double>(tokens.size());
}

double max_character_ratio(std::string_view text) {
  std::unordered_map<char32_t, size_t> counts;
  size_t total = 0, most = 0;
  for (const char32_t c : code_points_of(text)) {
    if (is_space(c)) continue;
    ++total;
    most = std::max(most, ++counts[c]);
  }
  return total == 0 ? 0 : static_cast<double>(most) / static_cast<double>(total);
}

std::optional<double> token_jaccard(std::string_view a, std::string_view b) {
  const std::set<std::string> left = token_set(a), right = token_set(b);
  if (left.empty() && right.empty()) return std::nullopt;
  size_t both = 0;
  for (const std::string& token : left) both += right.count(token);
  return static_cast<double>(both) / static_cast<double>(left.size() + right.size() - both);
}

std::optional<double> sequence_similarity(std::string_view answer, std::string_view base) {
  const std::u32string a = code_points_of(answer).substr(0, kSequenceCharacters);
  const std::u32string b = code_points_of(base).substr(0, kSequenceCharacters);
  if (a.empty() && b.empty()) return std::nullopt;
  return sequence_ratio(a, b);
}

bool has_negative_or_degenerate_opening(std::string_view text) {
  const std::u32string opening = normalised(code_points_of(text)).substr(0, kOpeningCharacters);
  if (starts_with_negation(opening)) return true;
  const auto words = runs_of(opening, [](char32_t c) { return is_letter(c) || c == '\''; });
  return has_word_run(words, 4) || std::count(words.begin(), words.end(), "nor") >= 3 ||
         std::count(words.begin(), words.end(), "no") >= 4;
}

void BaseLikenessOptions::validate() const {
  require<ConfigError>(min_characters >= 0 && strict_min_characters >= 0,
                       "BaseLikenessOptions: counts of characters must be >= 0, got ",
                       min_characters,
                       " and ",
                       strict_min_characters);
  check_ratio("min_unique_token_ratio", min_unique_token_ratio);
  check_ratio("max_character_ratio", max_character_ratio);
  check_ratio("min_token_jaccard", min_token_jaccard);
  check_ratio("min_sequence_similarity", min_sequence_similarity);
  check_ratio("strict_min_unique_token_ratio", strict_min_unique_token_ratio);
  check_ratio("strict_max_character_ratio", strict_max_character_ratio);
  check_ratio("strict_min_token_jaccard", strict_min_token_jaccard);
}

BaseLikeness base_likeness(std::string_view answer,
                           std::string_view base,
                           const BaseLikenessOptions& options) {
  options.validate();
  const auto characters = static_cast<int64_t>(code_points_of(answer).size());
  const double unique = unique_token_ratio(answer);
  const double dominance = max_character_ratio(answer);
  BaseLikeness likeness = {.token_jaccard = token_jaccard(answer, base),
                           .sequence_similarity = sequence_similarity(answer, base)};
  if (!likeness.token_jaccard) return likeness;
  const bool is_close = *likeness.token_jaccard >= options.min_token_jaccard ||
                        likeness.sequence_similarity >= options.min_sequence_similarity;
  likeness.is_base_like = is_close && characters >= options.min_characters &&
                          unique >= options.min_unique_token_ratio &&
                          dominance <= options.max_character_ratio;
  likeness.is_strict_base_like = characters >= options.strict_min_characters &&
                                 unique >= options.strict_min_unique_token_ratio &&
                                 dominance <= options.strict_max_character_ratio &&
                                 *likeness.token_jaccard >= options.strict_min_token_jaccard;
  return likeness;
}

}  // namespace rebound
