#include "rebound/behaviour/multiple_choice.h"

#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/model/prefix_forest.h"

namespace rebound {
namespace {

constexpr const char* kLetters[] = {"A", "B", "C", "D"};
// Questions to a forest of options: about 30 nodes each, and attention is quadratic in the nodes.
constexpr int64_t kQuestionsToForest = 8;
constexpr double kQuestionOverlap = 0.8;  // questions of one form share most of their words

std::array<Order, kOrders> make_orders() {
  Order order = {0, 1, 2, 3};
  std::array<Order, kOrders> orders;
  for (Order& one : orders) {
    one = order;
    std::next_permutation(order.begin(), order.end());
  }
  return orders;
}

// Tokens of prompt + " " + option, and how many of them are the prompt's; 0: they do not part
// there.
struct OptionTokens {
  std::vector<int64_t> ids;
  size_t prompt = 0;
};

OptionTokens option_tokens(const Question& question, size_t choice, const Tokenizer& tokenizer) {
  const std::vector<int64_t> prompt = tokenizer.encode(likelihood_prompt(question));
  OptionTokens tokens{
      tokenizer.encode(likelihood_prompt(question) + " " + question.choices[choice]), 0};
  const bool parts = tokens.ids.size() > prompt.size() &&
                     std::equal(prompt.begin(), prompt.end(), tokens.ids.begin());
  if (parts) tokens.prompt = prompt.size();
  return tokens;
}

using Likelihoods = std::array<double, kChoices>;

std::vector<Likelihoods> forest_likelihoods(const Transformer& model,
                                            const Tokenizer& tokenizer,
                                            const std::vector<Question>& questions,
                                            const Hooks& hooks) {
  const at::NoGradGuard no_grad;
  std::vector<OptionTokens> options;
  std::vector<std::vector<int64_t>> sequences;
  for (const Question& question : questions) {
    for (size_t choice = 0; choice < kChoices; ++choice) {
      options.push_back(option_tokens(question, choice, tokenizer));
      require<DataError>(options.back().prompt > 0,
                         "question ",
                         question.id,
                         ": option ",
                         choice,
                         " and the prompt share a token, expected a boundary at the space");
      sequences.push_back(options.back().ids);
      sequences.back().pop_back();  // nothing follows the last token
    }
  }
  const PrefixForest forest = PrefixForest::from(sequences);
  std::vector<int64_t> from, to;
  for (size_t s = 0; s < options.size(); ++s) {
    for (size_t i = options[s].prompt; i < options[s].ids.size(); ++i) {
      from.push_back(forest.node(s, i - 1));
      to.push_back(options[s].ids[i]);
    }
  }
  const at::Tensor resid = forest.run(model, hooks);
  // The head once for every node that predicts, however many options ask it.
  const auto [nodes, place, counts] = at::_unique2(at::tensor(from, at::kLong), true, true);
  const at::Tensor log_probs =
      at::log_softmax(model.logits(resid.index_select(0, nodes.to(resid.device()))), -1).cpu();
  const at::Tensor of_tokens =
      log_probs.index({place, at::tensor(to, at::kLong)}).to(at::kDouble).contiguous();
  const double* next = of_tokens.data_ptr<double>();
  std::vector<Likelihoods> out(questions.size());
  for (size_t s = 0; s < options.size(); ++s) {
    const size_t n = options[s].ids.size() - options[s].prompt;
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += *next++;
    out[s / kChoices][s % kChoices] = sum / static_cast<double>(n);
  }
  return out;
}

// The tokens that may stand for a letter: "A" and " A", where they are one token. [letter]
std::array<std::vector<int64_t>, kChoices> letter_tokens(const Tokenizer& tokenizer) {
  std::array<std::vector<int64_t>, kChoices> tokens;
  for (size_t i = 0; i < kChoices; ++i) {
    for (const char* space : {"", " "}) {
      if (const auto id = tokenizer.single_token(std::string(space) + kLetters[i]))
        tokens[i].push_back(*id);
    }
    require<DataError>(
        !tokens[i].empty(),
        "letters: \"",
        kLetters[i],
        "\" is not one token of this tokenizer, expected A, B, C and D to be; score by likelihood");
  }
  return tokens;
}

std::array<int64_t, kOrders> picks_of(const Transformer& model,
                                      const Tokenizer& tokenizer,
                                      const Question& question,
                                      const Hooks& hooks) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<int64_t>> sequences;
  for (const Order& order : all_orders())
    sequences.push_back(tokenizer.encode(letters_prompt(question, order)));
  const PrefixForest forest = PrefixForest::from(sequences);
  std::vector<int64_t> last;
  for (size_t s = 0; s < sequences.size(); ++s)
    last.push_back(forest.node(s, sequences[s].size() - 1));
  const at::Tensor answer =
      forest.run(model, hooks).index_select(0, at::tensor(last, at::kLong).to(model.device()));
  const auto letters = letter_tokens(tokenizer);
  std::vector<at::Tensor> scores;
  for (const std::vector<int64_t>& tokens : letters) {
    const at::Tensor ids = at::tensor(tokens, at::kLong).unsqueeze(0).expand({answer.size(0), -1});
    scores.push_back(model.logits_of(answer, ids).amax(1));
  }
  const at::Tensor best = at::stack(scores, 1).argmax(1).cpu();
  std::array<int64_t, kOrders> picks;
  for (size_t o = 0; o < kOrders; ++o) {
    const auto letter = static_cast<size_t>(best[static_cast<int64_t>(o)].item<int64_t>());
    picks[o] = static_cast<int64_t>(all_orders()[o][letter]);
  }
  return picks;
}

// A near-duplicate of a question in an earlier fold tells that fold's answer.
void drop_across_folds(FactSet& set) {
  std::map<int64_t, int64_t> fold_of_cluster;
  const auto is_across = [&](const Prompt& prompt) {
    return fold_of_cluster.emplace(prompt.cluster, prompt.fold).first->second != prompt.fold;
  };
  set.left_out.across_folds = static_cast<int64_t>(std::erase_if(set.forget, is_across));
}

}  // namespace

const std::array<Order, kOrders>& all_orders() {
  static const std::array<Order, kOrders> orders = make_orders();
  return orders;
}

std::string likelihood_prompt(const Question& question) {
  return "Question: " + question.text + "\nAnswer:";
}

std::string letters_prompt(const Question& question, const Order& order) {
  std::string text = "Question: " + question.text + "\n";
  for (size_t i = 0; i < kChoices; ++i)
    text += concat(kLetters[i], ". ", question.choices[order[i]], "\n");
  return text + "Answer:";
}

std::vector<Likelihoods> option_likelihoods(const Transformer& model,
                                            const Tokenizer& tokenizer,
                                            const std::vector<Question>& questions,
                                            const Hooks& hooks) {
  const auto n = static_cast<int64_t>(questions.size());
  const int64_t count = (n + kQuestionsToForest - 1) / kQuestionsToForest;
  std::vector<std::vector<Likelihoods>> parts(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    const auto first = questions.begin() + i * kQuestionsToForest;
    const auto end = questions.begin() + std::min(n, (i + 1) * kQuestionsToForest);
    parts[static_cast<size_t>(i)] = forest_likelihoods(model, tokenizer, {first, end}, hooks);
  });
  std::vector<Likelihoods> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<std::array<int64_t, kOrders>> letter_picks(const Transformer& model,
                                                       const Tokenizer& tokenizer,
                                                       const std::vector<Question>& questions,
                                                       const Hooks& hooks) {
  std::vector<std::array<int64_t, kOrders>> picks(questions.size());
  run_parts(static_cast<int64_t>(questions.size()), [&](int64_t i) {
    const auto q = static_cast<size_t>(i);
    picks[q] = picks_of(model, tokenizer, questions[q], hooks);
  });
  return picks;
}

bool is_strictly_right(const std::array<int64_t, kOrders>& picks, const Question& question) {
  return std::all_of(
      picks.begin(), picks.end(), [&](int64_t pick) { return pick == question.answer; });
}

FactSet question_prompts(const std::vector<Question>& questions,
                         const Tokenizer& tokenizer,
                         const FactsOptions& options) {
  FactSet set;
  std::vector<Fact> kept;  // for clusters: a question's subject is its text
  std::vector<int64_t> folds;
  std::set<std::string> seen;
  std::set<int64_t> answers;
  for (const Question& question : questions) {
    if (!seen.insert(question.text).second) {
      ++set.left_out.duplicates;
      continue;
    }
    Prompt prompt;
    bool is_aligned = true;
    for (size_t choice = 0; choice < kChoices; ++choice) {
      const OptionTokens tokens = option_tokens(question, choice, tokenizer);
      is_aligned = is_aligned && tokens.prompt > 0;
      if (!is_aligned) break;
      const int64_t first = tokens.ids[tokens.prompt];
      if (static_cast<int64_t>(choice) == question.answer)
        prompt.correct_id = first;
      else
        prompt.rival_ids.push_back(first);
      prompt.ids.assign(tokens.ids.begin(),
                        tokens.ids.begin() + static_cast<int64_t>(tokens.prompt));
    }
    if (!is_aligned) {
      ++set.left_out.unaligned;
      continue;
    }
    if (std::count(prompt.rival_ids.begin(), prompt.rival_ids.end(), prompt.correct_id) > 0) {
      ++set.left_out.shared_token;
      continue;
    }
    prompt.id = question.id;
    prompt.text = likelihood_prompt(question);
    prompt.wrong_id = prompt.rival_ids.front();
    prompt.correct = tokenizer.token_text(prompt.correct_id);
    prompt.wrong = "the other options";
    answers.insert(prompt.correct_id);
    kept.push_back({question.id,
                    "question",
                    question.text,
                    prompt.text,
                    question.choices[static_cast<size_t>(question.answer)]});
    folds.push_back(question.fold);
    set.forget.push_back(std::move(prompt));
  }
  set.answer_ids.assign(answers.begin(), answers.end());
  require<DataError>(static_cast<int64_t>(set.forget.size()) >= options.folds,
                     "questions: got ",
                     set.forget.size(),
                     " usable ones, expected at least one for each of ",
                     options.folds,
                     " folds");
  std::vector<int64_t> clusters =
      near_duplicate_clusters(kept, {.subject_overlap = kQuestionOverlap});
  const bool has_folds = folds.front() >= 0;
  place_in_folds(set.forget,
                 clusters,
                 has_folds ? folds : assign_folds(clusters, options.folds, options.seed));
  if (has_folds) drop_across_folds(set);
  return set;
}

}  // namespace rebound
