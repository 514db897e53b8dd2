// Facts to complete, "The capital of France is" -> " Paris": some to forget, some to retain.
//
// A fact file is JSON lines, one object each (empty lines are skipped):
//   {"id": "cap-1", "relation": "capital", "subject": "France",
//    "prompt": "The capital of France is", "answer": "Paris"}
//
// A fact is known where the first token of its answer is the argmax, so every prompt's contest is
// that token against the best of all others (kBestOther). Left out, and counted:
//   duplicates    a relation, subject pair or a prompt seen before
//   in_forget     retained facts of a relation or with a prompt that is to be forgotten
//   shared_token  answers of several tokens whose first one begins another answer of the relation,
//                 too: it does not say which
//   unaligned     prompt and answer do not part at a token boundary
//   across_folds  near-duplicates of one in another fold, where the file gives folds (questions)
//
// Folds are of facts: near-duplicates (near_duplicate_clusters) are never apart.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/behaviour/prompts.h"

namespace rebound {

struct Fact {
  std::string id, relation, subject, prompt, answer;
};

// Throws IoError when the file cannot be read, else DataError "file:line: ..." for: an unknown key
// or wrong type, an empty field, an id used twice, a file without facts.
std::vector<Fact> read_facts(const std::filesystem::path& path);

struct FactsOptions {
  std::filesystem::path forget;  // empty: data/facts/capitals.jsonl of the project
  std::filesystem::path retain;  // empty: data/facts/relations.jsonl
  int64_t n_retain = 350;        // drawn of the retained facts; fewer if there are fewer
  int64_t folds = 5;
  uint64_t seed = 0;
  // Prompts of facts that are not drawn to retain, nor are their near-duplicates.
  std::set<std::string> not_drawn = {};
  void validate() const;  // ConfigError
};

struct FactsLeftOut {
  int64_t duplicates = 0, in_forget = 0, shared_token = 0, unaligned = 0, across_folds = 0;
};
Json to_json(const FactsLeftOut& left_out);

// cluster = near-duplicate group, fold in 0..folds-1, in the order of folds.
struct FactSet {
  std::vector<Prompt> forget, retain;
  std::vector<int64_t> answer_ids;  // first tokens of all answers to forget, each once
  FactsLeftOut left_out;
};

// Throws ConfigError, IoError, or DataError where fewer facts to forget are left than folds.
FactSet make_facts(const FactsOptions& options, const Tokenizer& tokenizer);
// The retained ones alone; `forget` may be empty.
std::vector<Prompt> make_retained(const std::vector<Fact>& forget,
                                  const FactsOptions& options,
                                  const Tokenizer& tokenizer,
                                  FactsLeftOut& left_out);

struct ClusterOptions {
  double subject_overlap = 0.5;   // words in common over all words of two subjects
  bool same_answer_links = true;  // not for a relation with few answers, such as "language"
};
// Facts of one relation with the same answer or with subjects that overlap (Guinea, Equatorial
// Guinea), and what they are linked to. Cluster of each fact, 0, 1, ...
std::vector<int64_t> near_duplicate_clusters(const std::vector<Fact>& facts,
                                             const ClusterOptions& options = {});

// Whole clusters, in an order shuffled by `seed`, each to the fold with the fewest members so far.
std::vector<int64_t> assign_folds(const std::vector<int64_t>& clusters,
                                  int64_t folds,
                                  uint64_t seed);

// Marks the prompts with their clusters and folds, and orders them by fold.
void place_in_folds(std::vector<Prompt>& prompts,
                    const std::vector<int64_t>& clusters,
                    const std::vector<int64_t>& folds);

}  // namespace rebound
