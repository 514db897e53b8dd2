#include "rebound/audit/question_accuracy.h"

#include <algorithm>
#include <map>

#include "rebound/behaviour/multiple_choice.h"

namespace rebound {
namespace {

using ByFold = std::map<int64_t, std::vector<Question>>;

// The questions that are asked, at most `most`, under the fold whose defence they get.
ByFold asked(const Subject& subject, size_t most) {
  std::map<std::string, int64_t> folds;
  for (const Prompt& prompt : subject.prompts.test) folds[prompt.id] = prompt.fold;
  ByFold out;
  size_t taken = 0;
  for (const Question& question : subject.questions) {
    const auto fold = folds.find(question.id);
    if (fold == folds.end() || taken == most) continue;
    out[fold->second].push_back(question);
    ++taken;
  }
  return out;
}

Hooks hooks_of(const Subject& subject, int64_t fold) {
  return subject.defences.at(static_cast<size_t>(fold))->hooks();
}

int64_t count_likelihood(const Subject& subject,
                         const std::vector<Question>& questions,
                         const Hooks& hooks) {
  const auto scores = option_likelihoods(*subject.model, *subject.tokenizer, questions, hooks);
  int64_t right = 0;
  for (size_t q = 0; q < questions.size(); ++q) {
    const auto best = std::max_element(scores[q].begin(), scores[q].end()) - scores[q].begin();
    right += best == questions[q].answer;
  }
  return right;
}

Json letters_json(const Subject& subject, int64_t n_letters) {
  int64_t n = 0, right = 0, strict_before = 0, strict_after = 0, identity_after = 0;
  for (const auto& [fold, questions] : asked(subject, static_cast<size_t>(n_letters))) {
    const auto before = letter_picks(*subject.model, *subject.tokenizer, questions);
    const auto after =
        letter_picks(*subject.model, *subject.tokenizer, questions, hooks_of(subject, fold));
    for (size_t q = 0; q < questions.size(); ++q) {
      const bool is_strict = is_strictly_right(before[q], questions[q]);
      ++n;
      right += std::count(before[q].begin(), before[q].end(), questions[q].answer);
      strict_before += is_strict;
      strict_after += is_strictly_right(after[q], questions[q]);
      identity_after += is_strict && after[q].front() == questions[q].answer;
    }
  }
  return {{"n", n},
          {"right_before",
           static_cast<double>(right) / static_cast<double>(std::max<int64_t>(1, n * 24))},
          {"strict_before", strict_before},
          {"strict_after", strict_after},
          {"identity_after", identity_after}};
}

}  // namespace

Json measure_question_accuracy(const Subject& subject, int64_t n_letters) {
  if (subject.questions.empty()) return nullptr;
  int64_t n = 0, before = 0, after = 0;
  for (const auto& [fold, questions] : asked(subject, subject.questions.size())) {
    n += static_cast<int64_t>(questions.size());
    before += count_likelihood(subject, questions, {});
    after += count_likelihood(subject, questions, hooks_of(subject, fold));
  }
  return {{"likelihood", {{"n", n}, {"before", before}, {"after", after}}},
          {"letters", n_letters > 0 ? letters_json(subject, n_letters) : Json()}};
}

}  // namespace rebound
