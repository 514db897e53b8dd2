// Prompts with a right and a wrong next token: the examples of every behaviour.
//
// A prompt file is JSON lines, one object each (empty lines are skipped):
//   {"text": "After Mary and John met, John gave the key to", "correct": " Mary", "wrong": " John"}
//   {"ids": [1, 5, 9], "correct_id": 3, "wrong_id": 4, "id": "p2", "cluster": 7, "features": [12]}
//
// A key may come with its twin (text and ids, correct and correct_id); the two must then agree.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/text/tokenizer.h"

namespace rebound {

struct Prompt {
  std::string id;            // unique within its file; default: its line number
  std::string text;          // empty if given as ids
  std::vector<int64_t> ids;  // never empty
  int64_t correct_id = 0, wrong_id = 0;  // wrong_id may be kBestOther (model/margin.h), never in a file
  std::vector<int64_t> rival_ids;  // of questions: every wrong option, in place of wrong_id
  std::string correct, wrong;  // for people; empty when only ids are known
  // Near-duplicates share it, for example the prompts of one template. Intervals resample whole
  // clusters. Given ones are >= 0; a prompt without one has its own, < 0.
  int64_t cluster = -1;
  int64_t fold = -1;  // of facts: the defence and shared perturbations come from the other folds
  std::vector<int64_t> features;  // defended features of this prompt alone; usually empty
};

struct PromptSet {
  std::vector<Prompt> train, test;
  // Single-token answers of the same kind, to inject as controls: for IOI, all names with their
  // space, those of the prompt itself included.
  std::vector<int64_t> unrelated_ids;
};

struct PromptCheck {
  const Tokenizer* tokenizer = nullptr;  // needed for "text", "correct" and "wrong"
  int64_t vocab_size = 0;                // ids must be below; 0: the tokenizer's, if there is one
};

// Throws IoError when the file cannot be read, else DataError "file:line: ..." for: an unknown key
// or wrong type, an answer that is not exactly one token, an id outside the vocabulary, correct ==
// wrong, an empty prompt, an id used twice, a file without prompts.
std::vector<Prompt> read_prompts(const std::filesystem::path& path, const PromptCheck& check);
std::vector<Prompt> read_prompts(const std::filesystem::path& path, const Tokenizer* tokenizer);

}  // namespace rebound
