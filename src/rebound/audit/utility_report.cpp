#include "rebound/audit/utility_report.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>

#include "rebound/audit/result_figures.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/behaviour/facts.h"
#include "rebound/behaviour/multiple_choice.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/sae/text_files.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

constexpr const char* kSafeSet = "xstest_safe";
constexpr const char* kQuestions = "data/mcq/capitals_mcq.jsonl";

// At most `n`, evenly over `all`: files are ordered by kind.
template <class T>
std::vector<T> evenly(const std::vector<T>& all, int64_t n) {
  const size_t size = all.size(), count = std::min(size, static_cast<size_t>(n));
  std::vector<T> chosen;
  for (size_t i = 0; i < count; ++i) chosen.push_back(all[i * size / count]);
  return chosen;
}

// The values of `measure` for consecutive parts of at most `batch` examples, one after the other.
template <class T, class Measure>
auto in_batches(const std::vector<T>& all, int64_t batch, const Measure& measure) {
  decltype(measure(all)) out;
  for (size_t first = 0; first < all.size(); first += static_cast<size_t>(batch)) {
    const size_t end = std::min(all.size(), first + static_cast<size_t>(batch));
    const std::vector<T> part(all.begin() + static_cast<std::ptrdiff_t>(first),
                              all.begin() + static_cast<std::ptrdiff_t>(end));
    const auto values = measure(part);
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

std::vector<AnswerAssessment> assessed_answers(const AnswerSubject& subject,
                                               const std::vector<PosedRequest>& requests,
                                               const Hooks& hooks,
                                               const UtilityOptions& options) {
  return in_batches(requests, options.batch, [&](const std::vector<PosedRequest>& part) {
    return assess_all(subject, part, answer_all(subject, part, hooks, options.max_new_tokens));
  });
}

std::vector<double> with_verdict(const std::vector<AnswerAssessment>& answers,
                                 AnswerVerdict verdict) {
  std::vector<double> hits;
  for (const AnswerAssessment& answer : answers) hits.push_back(answer.verdict == verdict);
  return hits;
}

SafeAnswers answer_safe_requests(const AnswerSubject& subject,
                                 const Hooks& hooks,
                                 const UtilityOptions& options) {
  std::vector<PosedRequest> requests;
  std::vector<int64_t> groups;
  const auto all = requests_of_split(request_set(kSafeSet), "test");
  for (const Request& request : evenly(all, options.safe)) {
    requests.push_back({request, kSafeSet, subject.prompt_of(request.text)});
    groups.push_back(request.cluster);
  }
  const auto before = assessed_answers(subject, requests, {}, options);
  const auto after = assessed_answers(subject, requests, hooks, options);
  const auto paired = [&](AnswerVerdict verdict) {
    return paired_share(with_verdict(before, verdict), with_verdict(after, verdict), groups);
  };
  return {paired(AnswerVerdict::kRefused), paired(AnswerVerdict::kDegenerate)};
}

std::vector<double> right_facts(const Transformer& model,
                                const std::vector<Prompt>& prompts,
                                const Hooks& hooks,
                                int64_t batch) {
  const at::NoGradGuard no_grad;
  return in_batches(prompts, batch, [&](const std::vector<Prompt>& part) {
    std::vector<const Prompt*> pointers;
    for (const Prompt& prompt : part) pointers.push_back(&prompt);
    const at::Tensor margins =
        logit_differences(model, scored(pointers), hooks).to(at::kDouble).contiguous();
    std::vector<double> hits(part.size());
    const double* margin = margins.data_ptr<double>();
    for (double& hit : hits) hit = *margin++ > 0;
    return hits;
  });
}

FactsKept complete_facts(const AnswerSubject& subject,
                         const Hooks& hooks,
                         const UtilityOptions& options) {
  const auto [prompts, chosen_on] = facts_asked(options, *subject.tokenizer);
  const auto before = right_facts(*subject.model, prompts, {}, options.batch);
  const auto after = right_facts(*subject.model, prompts, hooks, options.batch);
  std::vector<int64_t> groups, known_groups;
  std::vector<double> kept;
  for (size_t i = 0; i < prompts.size(); ++i) {
    groups.push_back(prompts[i].cluster);
    if (before[i] == 0) continue;
    known_groups.push_back(prompts[i].cluster);
    kept.push_back(after[i]);
  }
  return {paired_share(before, after, groups), share_of(kept, known_groups), chosen_on};
}

std::vector<double> right_questions(const AnswerSubject& subject,
                                    const std::vector<Question>& questions,
                                    const Hooks& hooks,
                                    int64_t batch) {
  return in_batches(questions, batch, [&](const std::vector<Question>& part) {
    const auto scores = option_likelihoods(*subject.model, *subject.tokenizer, part, hooks);
    std::vector<double> hits;
    for (size_t q = 0; q < part.size(); ++q) {
      const auto best = std::max_element(scores[q].begin(), scores[q].end()) - scores[q].begin();
      hits.push_back(best == part[q].answer);
    }
    return hits;
  });
}

QuestionsRight ask_questions(const AnswerSubject& subject,
                             const Hooks& hooks,
                             const UtilityOptions& options) {
  const bool is_given = !options.questions.empty();
  const auto all = read_questions(is_given ? options.questions : find_project_path(kQuestions));
  const auto asked = evenly(all, options.asked);
  return {.file = is_given ? options.questions.string() : kQuestions,
          .n_in_file = static_cast<int64_t>(all.size()),
          .right = paired_share(right_questions(subject, asked, {}, options.batch),
                                right_questions(subject, asked, hooks, options.batch))};
}

Json share_json(const Share& share) {
  return {{"value", finite_or_null(share.value())},
          {"ci_low", share.low},
          {"ci_high", share.high},
          {"count", share.count},
          {"n", share.n}};
}

Json paired_json(const PairedShare& pair) {
  return {{"before", share_json(pair.before)},
          {"after", share_json(pair.after)},
          {"change", estimate_json(pair.change)}};
}

}  // namespace

void UtilityOptions::validate() const {
  const auto check = [](const char* name, int64_t value, int64_t least) {
    require<ConfigError>(
        value >= least, "UtilityOptions.", name, " must be >= ", least, ", got ", value);
  };
  check("contexts", contexts, 0);
  check("safe", safe, 0);
  check("facts", facts, 0);
  check("asked", asked, 0);
  check("max_new_tokens", max_new_tokens, 1);
  check("batch", batch, 1);
}

double Share::value() const {
  return n == 0 ? std::numeric_limits<double>::quiet_NaN()
                : static_cast<double>(count) / static_cast<double>(n);
}

Json interval_json(const Share& share) { return Json::array({share.low, share.high}); }

Share share_of(const std::vector<double>& hits, const std::vector<int64_t>& groups) {
  Share share{.count = std::count(hits.begin(), hits.end(), 1.0),
              .n = static_cast<int64_t>(hits.size())};
  if (hits.empty()) return share;
  const Interval alone = wilson(share.count, share.n);
  const Interval grouped = clustered_rate_interval(hits, {.clusters = groups});
  share.low = std::min(alone.low, grouped.low);
  share.high = std::max(alone.high, grouped.high);
  return share;
}

PairedShare paired_share(const std::vector<double>& before,
                         const std::vector<double>& after,
                         const std::vector<int64_t>& groups) {
  const int64_t clusters = count_distinct(groups, static_cast<int64_t>(after.size()));
  return {share_of(before, groups),
          share_of(after, groups),
          widened_where_flat(
              bootstrap_difference(after, before, {.clusters = groups}), clusters, -1, 1)};
}

FactsAsked facts_asked(const UtilityOptions& options, const Tokenizer& tokenizer) {
  FactsOptions facts{.n_retain = options.facts};
  if (options.chosen_on) facts.not_drawn = facts_behind_choice(*options.chosen_on, tokenizer);
  FactsLeftOut left_out;
  return {make_retained({}, facts, tokenizer, left_out),
          static_cast<int64_t>(facts.not_drawn.size())};
}

Utility measure_defence(const AnswerSubject& subject,
                        const Hooks& hooks,
                        const UtilityOptions& options) {
  options.validate();
  require_unseen_text(options.chosen_on, options.text, options.contexts, ContextOptions().length);
  Utility utility;
  if (options.contexts > 0) {
    say(concat("harmless text: ", options.contexts, " contexts"));
    utility.text = measure_text_cost(
        *subject.model,
        *subject.tokenizer,
        hooks,
        {.text = options.text, .chat = subject.chat.get(), .contexts = options.contexts});
  }
  if (options.facts > 0) {
    say(concat("facts to complete: ", options.facts));
    utility.facts = complete_facts(subject, hooks, options);
  }
  if (options.asked > 0) {
    say(concat("questions: ", options.asked));
    utility.questions = ask_questions(subject, hooks, options);
  }
  if (options.safe > 0 && subject.chat) {
    say(concat("answers to safe requests: ", options.safe));
    utility.safe = answer_safe_requests(subject, hooks, options);
  } else if (options.safe > 0) {
    say("answers to safe requests: not measured, the model has no chat template");
  }
  return utility;
}

Json to_json(const Utility& utility) {
  Json json;
  for (const char* key : {"kl", "delta_ce", "false_refusals", "accuracy", "facts_kept"}) {
    json[key] = json["intervals"][key] = nullptr;
  }
  for (const char* part : {"text", "safe", "facts", "questions"}) json[part] = nullptr;
  const auto add = [&](const char* name, const Json& figure) {
    json[name] = figure.at("value");
    json["intervals"][name] = {{"ci_low", figure.at("ci_low")}, {"ci_high", figure.at("ci_high")}};
  };
  if (const auto& text = utility.text) {
    json["text"] = to_json(*text);
    add("kl", json["text"]["intervals"]["kl_to_base"]);
    add("delta_ce", json["text"]["intervals"]["delta_ce"]);
  }
  if (const auto& safe = utility.safe) {
    json["safe"] = {{"set", kSafeSet},
                    {"refused", paired_json(safe->refused)},
                    {"degenerate", paired_json(safe->degenerate)}};
    add("false_refusals", share_json(safe->refused.after));
  }
  if (const auto& facts = utility.facts) {
    json["facts"] = {{"right", paired_json(facts->right)},
                     {"kept", share_json(facts->kept)},
                     {"chosen_on", facts->chosen_on}};
    add("facts_kept", share_json(facts->kept));
  }
  if (const auto& questions = utility.questions) {
    json["questions"] = {{"file", questions->file},
                         {"n_in_file", questions->n_in_file},
                         {"right", paired_json(questions->right)}};
    add("accuracy", share_json(questions->right.after));
  }
  return json;
}

}  // namespace rebound
