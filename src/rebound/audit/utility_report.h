// What a defence costs, whole: harmless text, refusals of safe requests, facts that it should have
// left, questions. Every figure with and without it, and with a 95 % interval:
//
//   text         bootstrap over contexts
//   shares       Wilson's, widened to the bootstrap over near-duplicate groups where that is wider
//                (clustered_rate_interval)
//   differences  bootstrap of the pairs over the same groups (widened_where_flat)
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/audit/answer_subject.h"
#include "rebound/audit/chosen_on.h"
#include "rebound/audit/utility.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

struct UtilityOptions {
  // Change results. A number of 0 leaves that part out; so many are taken evenly from a file.
  std::filesystem::path text;       // empty: data/text/heldout.txt.gz
  int64_t contexts = kMeasuredContexts;  // the first ones, of 128 tokens
  int64_t safe = 24;                // of the test split of xstest_safe
  int64_t max_new_tokens = 48;      // of an answer
  int64_t facts = 350;              // drawn of data/facts/relations.jsonl
  std::filesystem::path questions;  // empty: data/mcq/capitals_mcq.jsonl
  int64_t asked = 60;
  // Of the run that the defence is from: facts that it was chosen on, and their near-duplicates,
  // are not asked, and contexts that it was chosen on are refused (ConfigError).
  std::optional<ChosenOn> chosen_on;
  // Changes speed only: requests, facts and questions run together.
  int64_t batch = 32;

  void validate() const;  // ConfigError
};

// count of n, with its interval; [0, 1] for n = 0.
struct Share {
  int64_t count = 0, n = 0;
  double low = 0, high = 1;
  double value() const;  // NaN for n = 0
};

// The same examples without and with the defence.
struct PairedShare {
  Share before, after;
  Estimate change;  // after - before
};

Json interval_json(const Share& share);  // [low, high]

// `hits` are 0 or 1; `groups` as BootstrapOptions::clusters.
Share share_of(const std::vector<double>& hits, const std::vector<int64_t>& groups = {});
PairedShare paired_share(const std::vector<double>& before,
                         const std::vector<double>& after,
                         const std::vector<int64_t>& groups = {});

struct SafeAnswers {
  PairedShare refused, degenerate;  // verdicts of behaviour/answer_text.h
};
struct FactsKept {
  PairedShare right;  // the first token of the answer is the argmax
  Share kept;         // of those right without the defence, those right with it
  int64_t chosen_on = 0;  // facts that were not asked as the defence was chosen on them
};
struct QuestionsRight {
  std::string file;
  int64_t n_in_file = 0;
  PairedShare right;  // by mean log-probability of whole options
};

// What complete_facts asks: UtilityOptions::facts prompts at most.
struct FactsAsked {
  std::vector<Prompt> prompts;
  int64_t chosen_on = 0;
};
FactsAsked facts_asked(const UtilityOptions& options, const Tokenizer& tokenizer);

// A part that was not measured is empty.
struct Utility {
  std::optional<TextCost> text;
  std::optional<SafeAnswers> safe;
  std::optional<FactsKept> facts;
  std::optional<QuestionsRight> questions;
};

// Uses model, tokenizer, chat and stop_tokens of the subject; without a chat template (null) safe
// requests are not answered. Says on stderr what is being measured; answers are kept nowhere.
// Throws ConfigError, IoError or DataError.
Utility measure_defence(const AnswerSubject& subject,
                        const Hooks& hooks,
                        const UtilityOptions& options);

// The keys of `rebound utility --json` (docs/utility.md): "kl", "delta_ce", "false_refusals",
// "accuracy", "facts_kept" as numbers or null, "intervals" of the same names, and the parts.
Json to_json(const Utility& utility);

}  // namespace rebound
