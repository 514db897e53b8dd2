#include "rebound/audit/answer_flips.h"

#include <set>

#include "rebound/base/error.h"
#include "rebound/behaviour/answer_figures.h"

namespace rebound {
namespace {

Json redacted(const AnswerSubject& subject,
              const PosedRequest& posed,
              const std::vector<int64_t>& answer,
              const AnswerAssessment& assessment) {
  Json json = to_json(redact(subject.text_of(answer), posed.request.category));
  json["verdict"] = name_of(assessment.verdict);
  json["safety_cue"] = assessment.has_safety_cue;
  return json;
}

}  // namespace

AnswerFlips find_answer_flips(const AnswerSubject& subject,
                              const std::vector<std::vector<int64_t>>& base_answers,
                              const ClampPlan& plan,
                              int64_t max_new_tokens) {
  const auto defended = answer_all(subject, subject.test, plan.hooks(), max_new_tokens);
  const auto base_verdicts = assess_all(subject, subject.test, base_answers);
  const auto defended_verdicts = assess_all(subject, subject.test, defended);
  AnswerFlips flips;
  for (size_t i = 0; i < subject.test.size(); ++i) {
    const PosedRequest& posed = subject.test[i];
    const bool answers = base_verdicts[i].verdict == AnswerVerdict::kOnTopic;
    const bool is_refused = answers && defended_verdicts[i].verdict == AnswerVerdict::kRefused;
    const bool is_broken = answers && defended_verdicts[i].verdict == AnswerVerdict::kDegenerate;
    StoredExample example{
        .prompt = static_cast<int64_t>(i), .id = posed.request.id, .is_valid = is_refused};
    example.extra = {{"set", posed.set},
                     {"category", posed.request.category},
                     {"cluster", posed.request.cluster},
                     {"flip",
                      is_refused  ? "refused"
                      : is_broken ? "broken"
                                  : "none"},
                     {"base", redacted(subject, posed, base_answers[i], base_verdicts[i])},
                     {"defended", redacted(subject, posed, defended[i], defended_verdicts[i])}};
    flips.examples.push_back(std::move(example));
    flips.n_broken += is_broken;
    if (is_refused)
      flips.refused.push_back({&posed, static_cast<int64_t>(i), base_answers[i], defended[i]});
  }
  return flips;
}

AnswerFlips as_stored(AnswerFlips found,
                      const std::vector<StoredExample>& kept,
                      const std::string& where) {
  require<DataError>(kept.size() == found.examples.size(),
                     where,
                     ": got ",
                     kept.size(),
                     " examples, expected the ",
                     found.examples.size(),
                     " requests of the spec");
  std::set<int64_t> refused;
  found.n_broken = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const StoredExample& now = found.examples[i];
    require<DataError>(kept[i].id == now.id && kept[i].prompt == now.prompt,
                       where,
                       ": got request ",
                       kept[i].id,
                       " at place ",
                       kept[i].prompt,
                       ", expected ",
                       now.id);
    found.n_broken += kept[i].extra.value("flip", "") == "broken";
    if (!kept[i].is_valid) continue;
    refused.insert(now.prompt);
    for (const char* answer : {"base", "defended"}) {
      const Json& before = kept[i].extra.at(answer);
      require<DataError>(before.value("sha256", "") == now.extra.at(answer).value("sha256", ""),
                         where,
                         ": the ",
                         answer,
                         " answer to ",
                         now.id,
                         " came out otherwise than when the run began, expected the same (model "
                         "file, number of threads and machine of the run)");
    }
  }
  std::erase_if(found.refused, [&](const AnswerFlip& flip) { return !refused.count(flip.index); });
  found.examples = kept;
  return found;
}

}  // namespace rebound
