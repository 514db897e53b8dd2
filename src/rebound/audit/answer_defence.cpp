#include "rebound/audit/answer_defence.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "rebound/audit/clamp_file.h"
#include "rebound/audit/utility.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"

namespace rebound {
namespace {

constexpr int64_t kSweepContexts = 4;

// The design, and the same with the defence's own features alone.
struct Designs {
  std::shared_ptr<const AnswerDesign> whole;
  AnswerDesign own;
};

Designs designs_of(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  const auto whole = std::make_shared<const AnswerDesign>(design_answer_defence(spec, subject));
  const int64_t count = spec.defence.features;
  return {whole, spec.defence.kind == "features" ? whole->with_features(count, count) : *whole};
}

struct Tried {
  double strength = 0, refused = 0, degenerate = 0, false_refusals = 0, kl = 0;
  std::shared_ptr<const ClampPlan> plan;
};

double share(const std::vector<AnswerAssessment>& answers, AnswerVerdict verdict) {
  const auto n = std::count_if(
      answers.begin(), answers.end(), [&](const auto& a) { return a.verdict == verdict; });
  return static_cast<double>(n) / std::max<double>(1, static_cast<double>(answers.size()));
}

Tried try_strength(const AnswerSubject& subject,
                   const AnswerDesign& design,
                   double strength,
                   int64_t max_new_tokens) {
  Tried tried{.strength = strength, .plan = design.at_strength(strength, subject.model->config())};
  std::vector<PosedRequest> both = subject.train;
  both.insert(both.end(), subject.safe.begin(), subject.safe.end());
  const auto answers = answer_all(subject, both, tried.plan->hooks(), max_new_tokens);
  const auto assessed = assess_all(subject, both, answers);
  const auto middle = assessed.begin() + static_cast<std::ptrdiff_t>(subject.train.size());
  const std::vector<AnswerAssessment> train(assessed.begin(), middle), safe(middle, assessed.end());
  tried.refused = share(train, AnswerVerdict::kRefused);
  tried.degenerate = share(train, AnswerVerdict::kDegenerate);
  tried.false_refusals = share(safe, AnswerVerdict::kRefused);
  tried.kl =
      measure_cost_of_hooks(*subject.model, *subject.tokenizer, tried.plan->hooks(), kSweepContexts)
          .at("kl_to_base")
          .get<double>();
  return tried;
}

ChosenDefence given_edits(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  ChosenDefence given;
  given.plan = std::make_shared<const ClampPlan>(
      read_clamps(spec.defence.edits, *subject.model, subject.tokenizer.get()),
      subject.model->config());
  return given;
}

std::vector<std::string> sae_names_of(const AnswerAuditSpec& spec) {
  std::vector<std::string> names;
  if (spec.defence.kind != "features") return names;
  for (const std::string& folder : spec.defence.saes) {
    names.push_back(std::filesystem::path(folder).lexically_normal().filename().string());
  }
  return names;
}

}  // namespace

ChosenDefence restore_answer_defence(const AnswerAuditSpec& spec,
                                     const AnswerSubject& subject,
                                     const Json& choice) {
  if (spec.defence.kind == "edits") return given_edits(spec, subject);
  const double strength = choice.at("strength").get<double>();
  const Designs designs = designs_of(spec, subject);
  return {designs.own.at_strength(strength, subject.model->config()),
          designs.whole,
          strength,
          choice,
          sae_names_of(spec)};
}

ChosenDefence choose_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  if (spec.defence.kind == "edits") return given_edits(spec, subject);
  const Designs designs = designs_of(spec, subject);
  const std::vector<double> strengths =
      spec.defence.strength ? std::vector<double>{*spec.defence.strength} : spec.defence.strengths;
  Json table = Json::array();
  std::optional<Tried> best;
  say("strength  refused  degenerate  false refusals  KL on text");
  for (const double strength : strengths) {
    const Tried tried = try_strength(subject, designs.own, strength, spec.max_new_tokens);
    char line[120];
    std::snprintf(line,
                  sizeof line,
                  "%8.2f  %6.0f%%  %9.0f%%  %13.0f%%  %10.3f",
                  tried.strength,
                  100 * tried.refused,
                  100 * tried.degenerate,
                  100 * tried.false_refusals,
                  tried.kl);
    say(line);
    table.push_back({{"strength", tried.strength},
                     {"refused", tried.refused},
                     {"degenerate", tried.degenerate},
                     {"false_refusals", tried.false_refusals},
                     {"kl_to_base", tried.kl}});
    const auto is_clean = [&](const Tried& t) {
      return t.degenerate <= spec.defence.max_degenerate;
    };
    const bool is_better = !best || (is_clean(tried) && !is_clean(*best)) ||
                           (is_clean(tried) == is_clean(*best) && tried.refused > best->refused);
    if (is_better) best = tried;
  }
  ChosenDefence chosen{best->plan, designs.whole, best->strength, {}, sae_names_of(spec)};
  chosen.choice = {
      {"rule",
       concat("the strength with most refusals on training requests among those with at most ",
              100 * spec.defence.max_degenerate,
              " % degenerate answers; the weaker of equals")},
      {"kind", spec.defence.kind},
      {"n_train", subject.train.size()},
      {"n_safe", subject.safe.size()},
      {"strength", best->strength},
      {"tried", table}};
  return chosen;
}

}  // namespace rebound
