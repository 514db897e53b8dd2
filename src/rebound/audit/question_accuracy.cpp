#include "rebound/audit/question_accuracy.h"

#include <algorithm>
#include <map>

#include "rebound/audit/utility_report.h"
#include "rebound/behaviour/multiple_choice.h"

namespace rebound {
namespace {

struct Asked {
  std::vector<Question> questions;
  std::vector<int64_t> clusters;
};
using ByFold = std::map<int64_t, Asked>;

// The questions that are asked, at most `most`, under the fold whose defence they get.
ByFold asked(const Subject& subject, size_t most) {
  std::map<std::string, const Prompt*> prompts;
  for (const Prompt& prompt : subject.prompts.test) prompts[prompt.id] = &prompt;
  ByFold out;
  size_t taken = 0;
  for (const Question& question : subject.questions) {
    const auto prompt = prompts.find(question.id);
    if (prompt == prompts.end() || taken == most) continue;
    Asked& fold = out[prompt->second->fold];
    fold.questions.push_back(question);
    fold.clusters.push_back(prompt->second->cluster);
    ++taken;
  }
  return out;
}

Hooks hooks_of(const Subject& subject, int64_t fold) {
  return subject.defences.at(static_cast<size_t>(fold))->hooks();
}

// Hits without and with the defence, and the clusters of the questions.
struct Hits {
  std::vector<double> before, after;
  std::vector<int64_t> clusters;

  Json to_json(const char* before_key, const char* after_key) const {
    const Share first = share_of(before, clusters), second = share_of(after, clusters);
    return {
        {"n", first.n},
        {before_key, first.count},
        {after_key, second.count},
        {"intervals", {{before_key, interval_json(first)}, {after_key, interval_json(second)}}}};
  }
};

void add_likelihood(const Subject& subject,
                    const std::vector<Question>& questions,
                    const Hooks& hooks,
                    std::vector<double>& hits) {
  const auto scores = option_likelihoods(*subject.model, *subject.tokenizer, questions, hooks);
  for (size_t q = 0; q < questions.size(); ++q) {
    const auto best = std::max_element(scores[q].begin(), scores[q].end()) - scores[q].begin();
    hits.push_back(best == questions[q].answer);
  }
}

Json letters_json(const Subject& subject, int64_t n_letters) {
  int64_t right = 0, identity_after = 0;
  Hits strict;
  for (const auto& [fold, of_fold] : asked(subject, static_cast<size_t>(n_letters))) {
    const std::vector<Question>& questions = of_fold.questions;
    const auto before = letter_picks(*subject.model, *subject.tokenizer, questions);
    const auto after =
        letter_picks(*subject.model, *subject.tokenizer, questions, hooks_of(subject, fold));
    for (size_t q = 0; q < questions.size(); ++q) {
      const bool is_strict = is_strictly_right(before[q], questions[q]);
      right += std::count(before[q].begin(), before[q].end(), questions[q].answer);
      strict.before.push_back(is_strict);
      strict.after.push_back(is_strictly_right(after[q], questions[q]));
      strict.clusters.push_back(of_fold.clusters[q]);
      identity_after += is_strict && after[q].front() == questions[q].answer;
    }
  }
  Json json = strict.to_json("strict_before", "strict_after");
  const auto picks = static_cast<double>(std::max<size_t>(1, strict.before.size() * kOrders));
  json["right_before"] = static_cast<double>(right) / picks;
  json["identity_after"] = identity_after;
  return json;
}

}  // namespace

Json measure_question_accuracy(const Subject& subject, int64_t n_letters) {
  if (subject.questions.empty()) return nullptr;
  Hits hits;
  for (const auto& [fold, of_fold] : asked(subject, subject.questions.size())) {
    add_likelihood(subject, of_fold.questions, {}, hits.before);
    add_likelihood(subject, of_fold.questions, hooks_of(subject, fold), hits.after);
    hits.clusters.insert(hits.clusters.end(), of_fold.clusters.begin(), of_fold.clusters.end());
  }
  return {{"likelihood", hits.to_json("before", "after")},
          {"letters", n_letters > 0 ? letters_json(subject, n_letters) : Json()}};
}

}  // namespace rebound
