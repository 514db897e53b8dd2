// Questions with four options, and how a model is asked them.
//
// Files of questions: questions.h. Two ways of scoring:
//
//   likelihood   "Question: ...\nAnswer:" + " " + choice; an option's score is the mean
//                log-probability of its tokens, so that long options are not punished
//   letters      the choices behind "A.", "B.", "C.", "D." in one of 24 orders, then "Answer:";
//                a letter's score is the larger logit of "A" and " A". Strictly right: right in
//                all 24 orders
//
// Every sequence of a question runs in one PrefixForest: the question is read once, and orders
// share what they begin with (64 listings of a choice in place of 96).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rebound/behaviour/facts.h"
#include "rebound/behaviour/prompts.h"
#include "rebound/behaviour/questions.h"
#include "rebound/model/transformer.h"

namespace rebound {

constexpr size_t kOrders = 24;
using Order = std::array<size_t, kChoices>;  // Order[i] = which choice stands at letter i

const std::array<Order, kOrders>& all_orders();  // lexicographic; the first is the identity
std::string likelihood_prompt(const Question& question);
std::string letters_prompt(const Question& question, const Order& order);

// Mean log-probability of the four options of each question. [question][choice]
std::vector<std::array<double, kChoices>> option_likelihoods(const Transformer& model,
                                                             const Tokenizer& tokenizer,
                                                             const std::vector<Question>& questions,
                                                             const Hooks& hooks = {});

// Which choice the model picks in each order; the first letter on ties. [question][order]
std::vector<std::array<int64_t, kOrders>> letter_picks(const Transformer& model,
                                                       const Tokenizer& tokenizer,
                                                       const std::vector<Question>& questions,
                                                       const Hooks& hooks = {});
bool is_strictly_right(const std::array<int64_t, kOrders>& picks, const Question& question);

// Questions as prompts whose contest is the first token of the right option against those of the
// other three: what an audit attacks. Left out and counted: repeated questions (duplicates), a
// right option that begins like another (shared_token), options that do not part from the prompt at
// a token boundary. Folds are the file's, else as of facts; answer_ids are the first tokens of all
// right options.
FactSet question_prompts(const std::vector<Question>& questions,
                         const Tokenizer& tokenizer,
                         const FactsOptions& options);

}  // namespace rebound
