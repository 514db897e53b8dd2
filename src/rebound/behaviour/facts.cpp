#include "rebound/behaviour/facts.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/base/rng.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/model/margin.h"

namespace rebound {
namespace {

constexpr uint64_t kFoldStream = 0x666f6c64, kRetainStream = 0x72657461;

Fact read_fact(const Json& json, const std::string& where) {
  ObjectReader fields(json, where);
  Fact fact;
  const std::pair<const char*, std::string*> all[] = {{"id", &fact.id},
                                                      {"relation", &fact.relation},
                                                      {"subject", &fact.subject},
                                                      {"prompt", &fact.prompt},
                                                      {"answer", &fact.answer}};
  for (const auto& [key, value] : all) {
    *value = fields.get<std::string>(key);
    const bool has_words = value->find_first_not_of(" \t\r\n") != std::string::npos;
    require<DataError>(has_words, where, ": ", key, " is empty");
  }
  fields.finish();
  return fact;
}

// A fact file is data: what is wrong with its keys is a DataError, too.
Fact read_fact_line(const std::string& line, const std::string& where) {
  try {
    return read_fact(parse_json(line, where), where);
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

// Lower-case runs of letters and digits; bytes past ASCII count as letters.
std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 128 || std::isalnum(byte)) {
      word += static_cast<char>(std::tolower(byte));
    } else if (!word.empty()) {
      words.insert(word);
      word.clear();
    }
  }
  return words;
}

std::string normalised(const std::string& text) {
  std::string joined;
  for (const std::string& word : words_of(text)) joined += word + " ";
  return joined;
}

double jaccard(const std::set<std::string>& a, const std::set<std::string>& b) {
  int64_t common = 0;
  for (const std::string& word : a) common += static_cast<int64_t>(b.count(word));
  const auto all = static_cast<int64_t>(a.size() + b.size()) - common;
  return all == 0 ? 0 : static_cast<double>(common) / static_cast<double>(all);
}

class DisjointSets {
 public:
  explicit DisjointSets(size_t n) : parent_(n) {
    std::iota(parent_.begin(), parent_.end(), size_t{0});
  }
  size_t find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) {
    parent_[std::max(find(a), find(b))] = std::min(find(a), find(b));
  }

 private:
  std::vector<size_t> parent_;
};

std::vector<Fact> without_duplicates(const std::vector<Fact>& facts, FactsLeftOut& left_out) {
  std::set<std::string> seen;
  std::vector<Fact> kept;
  for (const Fact& fact : facts) {
    const bool is_new_pair =
        seen.insert("pair " + fact.relation + "|" + normalised(fact.subject)).second;
    const bool is_new_prompt = seen.insert("prompt " + fact.prompt).second;
    if (is_new_pair && is_new_prompt)
      kept.push_back(fact);
    else
      ++left_out.duplicates;
  }
  return kept;
}

std::vector<Fact> outside(const std::vector<Fact>& forget,
                          const std::vector<Fact>& facts,
                          FactsLeftOut& left_out) {
  std::set<std::string> relations, prompts;
  for (const Fact& fact : forget) {
    relations.insert(fact.relation);
    prompts.insert(fact.prompt);
  }
  std::vector<Fact> kept;
  for (const Fact& fact : facts) {
    if (relations.count(fact.relation) || prompts.count(fact.prompt))
      ++left_out.in_forget;
    else
      kept.push_back(fact);
  }
  return kept;
}

struct Tokens {
  std::vector<int64_t> prompt, answer;  // answer empty: unaligned
};

Tokens tokens_of(const Fact& fact, const Tokenizer& tokenizer) {
  Tokens tokens{tokenizer.encode(fact.prompt), {}};
  const std::vector<int64_t> whole = tokenizer.encode(fact.prompt + " " + fact.answer);
  const bool is_aligned = whole.size() > tokens.prompt.size() &&
                          std::equal(tokens.prompt.begin(), tokens.prompt.end(), whole.begin());
  if (is_aligned)
    tokens.answer.assign(whole.begin() + static_cast<int64_t>(tokens.prompt.size()), whole.end());
  return tokens;
}

// The prompts of facts whose first answer token tells the answer.
std::vector<Prompt> to_prompts(std::vector<Fact>& facts,
                               const Tokenizer& tokenizer,
                               FactsLeftOut& left_out) {
  std::vector<Tokens> tokens;
  std::map<std::pair<std::string, int64_t>, std::set<std::string>>
      answers;  // that begin with a token
  for (const Fact& fact : facts) {
    tokens.push_back(tokens_of(fact, tokenizer));
    if (!tokens.back().answer.empty()) {
      answers[{fact.relation, tokens.back().answer.front()}].insert(normalised(fact.answer));
    }
  }
  std::vector<Prompt> prompts;
  std::vector<Fact> kept;
  for (size_t i = 0; i < facts.size(); ++i) {
    const Fact& fact = facts[i];
    if (tokens[i].answer.empty()) {
      ++left_out.unaligned;
      continue;
    }
    const int64_t first = tokens[i].answer.front();
    if (tokens[i].answer.size() > 1 && answers[{fact.relation, first}].size() > 1) {
      ++left_out.shared_token;
      continue;
    }
    Prompt prompt;
    prompt.id = fact.id;
    prompt.text = fact.prompt;
    prompt.ids = tokens[i].prompt;
    prompt.correct_id = first;
    prompt.wrong_id = kBestOther;
    prompt.correct = tokenizer.token_text(first);
    prompt.wrong = "best other token";
    prompts.push_back(std::move(prompt));
    kept.push_back(fact);
  }
  facts = std::move(kept);
  return prompts;
}

std::vector<Fact> drawn(std::vector<Fact> facts, int64_t count, uint64_t seed) {
  std::vector<int64_t> order(facts.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  Rng rng({seed, kRetainStream});
  rng.shuffle(order);
  order.resize(std::min(order.size(), static_cast<size_t>(count)));
  std::sort(order.begin(), order.end());
  std::vector<Fact> chosen;
  for (const int64_t i : order) chosen.push_back(facts[static_cast<size_t>(i)]);
  return chosen;
}

// Without the facts of these prompts and their near-duplicates.
std::vector<Fact> apart_from(const std::set<std::string>& prompts, const std::vector<Fact>& facts) {
  if (prompts.empty()) return facts;
  const auto clusters = near_duplicate_clusters(facts, {.same_answer_links = false});
  std::set<int64_t> taken;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (prompts.count(facts[i].prompt)) taken.insert(clusters[i]);
  }
  std::vector<Fact> kept;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (!taken.count(clusters[i])) kept.push_back(facts[i]);
  }
  return kept;
}

std::filesystem::path path_of(const std::filesystem::path& given, const char* standard) {
  return given.empty() ? find_project_path(standard) : given;
}

}  // namespace

std::vector<Fact> read_facts(const std::filesystem::path& path) {
  std::istringstream lines(read_text_file(path));
  std::vector<Fact> facts;
  std::set<std::string> seen;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(path.string(), ":", number);
    facts.push_back(read_fact_line(line, where));
    require<DataError>(seen.insert(facts.back().id).second,
                       where,
                       ": id ",
                       Json(facts.back().id).dump().substr(0, 80),
                       " is used twice");
  }
  require<DataError>(!facts.empty(), path.string(), ": got no facts, expected one a line");
  return facts;
}

void FactsOptions::validate() const {
  require<ConfigError>(folds >= 2, "behaviour.folds: got ", folds, ", expected >= 2");
  require<ConfigError>(n_retain >= 0, "behaviour.n_retain: got ", n_retain, ", expected >= 0");
}

Json to_json(const FactsLeftOut& left_out) {
  return {{"duplicates", left_out.duplicates},
          {"in_forget", left_out.in_forget},
          {"shared_token", left_out.shared_token},
          {"unaligned", left_out.unaligned},
          {"across_folds", left_out.across_folds}};
}

std::vector<int64_t> near_duplicate_clusters(const std::vector<Fact>& facts,
                                             const ClusterOptions& options) {
  std::vector<std::set<std::string>> subjects;
  for (const Fact& fact : facts) subjects.push_back(words_of(fact.subject));
  DisjointSets sets(facts.size());
  for (size_t i = 0; i < facts.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (facts[i].relation != facts[j].relation) continue;
      const bool has_same_answer =
          options.same_answer_links && normalised(facts[i].answer) == normalised(facts[j].answer);
      if (has_same_answer || jaccard(subjects[i], subjects[j]) >= options.subject_overlap)
        sets.join(i, j);
    }
  }
  std::map<size_t, int64_t> names;
  std::vector<int64_t> clusters;
  for (size_t i = 0; i < facts.size(); ++i) {
    clusters.push_back(
        names.emplace(sets.find(i), static_cast<int64_t>(names.size())).first->second);
  }
  return clusters;
}

std::vector<int64_t> assign_folds(const std::vector<int64_t>& clusters,
                                  int64_t folds,
                                  uint64_t seed) {
  std::map<int64_t, int64_t> sizes;
  for (const int64_t cluster : clusters) ++sizes[cluster];
  std::vector<int64_t> order;
  for (const auto& [cluster, size] : sizes) order.push_back(cluster);
  Rng rng({seed, kFoldStream});
  rng.shuffle(order);
  std::vector<int64_t> load(static_cast<size_t>(folds), 0);
  std::map<int64_t, int64_t> fold_of;
  for (const int64_t cluster : order) {
    const auto least = std::min_element(load.begin(), load.end());
    fold_of[cluster] = least - load.begin();
    *least += sizes[cluster];
  }
  std::vector<int64_t> out;
  for (const int64_t cluster : clusters) out.push_back(fold_of[cluster]);
  return out;
}

void place_in_folds(std::vector<Prompt>& prompts,
                    const std::vector<int64_t>& clusters,
                    const std::vector<int64_t>& folds) {
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts[i].cluster = clusters[i];
    prompts[i].fold = folds[i];
  }
  std::stable_sort(prompts.begin(), prompts.end(), [](const Prompt& a, const Prompt& b) {
    return a.fold < b.fold;
  });
}

std::vector<Prompt> make_retained(const std::vector<Fact>& forget,
                                  const FactsOptions& options,
                                  const Tokenizer& tokenizer,
                                  FactsLeftOut& left_out) {
  const std::vector<Fact> all = read_facts(path_of(options.retain, "data/facts/relations.jsonl"));
  const std::vector<Fact> usable = outside(forget, without_duplicates(all, left_out), left_out);
  std::vector<Fact> retain =
      drawn(apart_from(options.not_drawn, usable), options.n_retain, options.seed);
  std::vector<Prompt> prompts = to_prompts(retain, tokenizer, left_out);
  const auto clusters = near_duplicate_clusters(retain, {.same_answer_links = false});
  place_in_folds(prompts, clusters, assign_folds(clusters, options.folds, options.seed));
  return prompts;
}

FactSet make_facts(const FactsOptions& options, const Tokenizer& tokenizer) {
  options.validate();
  FactSet set;
  const auto forget_path = path_of(options.forget, "data/facts/capitals.jsonl");
  std::vector<Fact> forget = without_duplicates(read_facts(forget_path), set.left_out);
  set.retain = make_retained(forget, options, tokenizer, set.left_out);
  set.forget = to_prompts(forget, tokenizer, set.left_out);
  require<DataError>(static_cast<int64_t>(set.forget.size()) >= options.folds,
                     forget_path.string(),
                     ": got ",
                     set.forget.size(),
                     " usable facts, expected at least one for each of ",
                     options.folds,
                     " folds");
  const auto clusters = near_duplicate_clusters(forget);
  place_in_folds(set.forget, clusters, assign_folds(clusters, options.folds, options.seed));
  std::set<int64_t> answers;
  for (const Prompt& prompt : set.forget) answers.insert(prompt.correct_id);
  set.answer_ids.assign(answers.begin(), answers.end());
  return set;
}

}  // namespace rebound
