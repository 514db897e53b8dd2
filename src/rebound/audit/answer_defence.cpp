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
#include "rebound/intervene/contrast.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/sae/sae_lens_format.h"

namespace rebound {
namespace {

constexpr const char* kRefusal = "I'm sorry, but I can't assist with that request.";
constexpr int64_t kContrastTokens = 16;
constexpr int64_t kUtilityContexts = 4;

// Everything of a defence but its strength.
struct Design {
  struct Part {
    Site site;
    at::Tensor direction;           // directions: [d_model]
    std::shared_ptr<const Sae> sae;  // features
    Sae::Features features;
    std::vector<double> differences;
    double sink_norm = 0;
  };
  std::vector<Part> parts;

  std::shared_ptr<const ClampPlan> at_strength(double strength, const ModelConfig& model) const {
    std::vector<std::shared_ptr<const Clamp>> clamps;
    for (const Part& part : parts) {
      if (!part.sae) {
        clamps.push_back(std::make_shared<const DirectionClamp>(
            part.site, part.direction,
            DirectionClamp::Options{DirectionEdit::kAdd, strength, PositionSet(), part.sink_norm}));
        continue;
      }
      FeatureEdit edit{.features = part.features, .kind = EditKind::kAdd, .when = EditWhen::kAlways};
      for (const double difference : part.differences) edit.values.push_back(strength * difference);
      clamps.push_back(std::make_shared<const Defence>(part.sae, std::vector<FeatureEdit>{edit}, part.sink_norm));
    }
    return std::make_shared<const ClampPlan>(std::move(clamps), model);
  }
};

std::map<Site, double> sink_norms(const AnswerSubject& subject, const std::vector<Site>& sites) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<int64_t>> prompts;
  for (const PosedRequest& request : subject.train) prompts.push_back(request.ids);
  const TokenBatch tokens = TokenBatch::from(prompts);
  Hooks hooks;
  hooks.capture.insert(sites.begin(), sites.end());
  const RunOutput run = subject.model->run(tokens, {.hooks = hooks});
  std::map<Site, double> norms;
  for (const Site& site : sites) norms[site] = sink_norm_of(run.activations.at(site), tokens.rows());
  return norms;
}

struct Contrast {
  std::vector<AnsweredPrompt> refusing, complying;
};

Contrast contrast_of(const AnswerSubject& subject, const std::vector<std::vector<int64_t>>& base_answers) {
  const std::vector<int64_t> refusal = subject.tokenizer->encode(kRefusal);
  Contrast contrast;
  for (size_t i = 0; i < subject.train.size(); ++i) {
    if (base_answers[i].empty()) continue;
    contrast.refusing.push_back({subject.train[i].ids, refusal});
    contrast.complying.push_back({subject.train[i].ids, base_answers[i]});
  }
  require<DataError>(!contrast.complying.empty(), "defence: got only empty answers to the training requests");
  return contrast;
}

Design design_directions(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Contrast& contrast) {
  std::vector<Site> sites;
  for (const int64_t layer : spec.defence.layers) {
    require<ConfigError>(layer >= 0 && layer < subject.model->n_layers(), "defence.layers: got ", layer,
                         ", expected 0..", subject.model->n_layers() - 1);
    sites.push_back({layer, SiteKind::kResidPre});
  }
  const AnswerMeanOptions options{.most_tokens = kContrastTokens};
  const auto refusing = answer_means(*subject.model, sites, contrast.refusing, options);
  const auto complying = answer_means(*subject.model, sites, contrast.complying, options);
  const auto sinks = sink_norms(subject, sites);
  Design design;
  for (const Site& site : sites) {
    design.parts.push_back({site, refusing.at(site) - complying.at(site), nullptr, {}, {}, sinks.at(site)});
  }
  return design;
}

Design design_features(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Contrast& contrast) {
  Design design;
  std::vector<Site> sites;
  for (const std::string& folder : spec.defence.saes) {
    const auto sae = std::make_shared<const Sae>(load_sae(folder));
    check_fits(*sae, subject.model->config());
    const AnswerMeanOptions options{.most_tokens = kContrastTokens};
    const at::Tensor difference = answer_mean_code(*subject.model, *sae, contrast.refusing, options) -
                                  answer_mean_code(*subject.model, *sae, contrast.complying, options);
    const auto [values, order] = difference.sort(-1, /*descending=*/true);
    Design::Part part{parse_site(sae->config().hook_name), {}, sae, {}, {}, 0};
    std::vector<std::pair<int64_t, double>> chosen;
    for (int64_t i = 0; i < std::min(spec.defence.features, sae->d_sae()); ++i) {
      const double value = values[i].item<double>();
      if (value > 0) chosen.emplace_back(order[i].item<int64_t>(), value);
    }
    require<DataError>(!chosen.empty(), folder, ": got no feature that is stronger in refusing answers");
    for (const auto& [feature, value] : chosen) {
      part.features.push_back(feature);
      part.differences.push_back(value);
    }
    sites.push_back(part.site);
    design.parts.push_back(std::move(part));
  }
  const auto sinks = sink_norms(subject, sites);
  for (Design::Part& part : design.parts) part.sink_norm = sinks.at(part.site);
  return design;
}

struct Tried {
  double strength = 0, refused = 0, degenerate = 0, false_refusals = 0, kl = 0;
  std::shared_ptr<const ClampPlan> plan;
};

double share(const std::vector<AnswerAssessment>& answers, AnswerVerdict verdict) {
  const auto n = std::count_if(answers.begin(), answers.end(), [&](const auto& a) { return a.verdict == verdict; });
  return static_cast<double>(n) / std::max<double>(1, static_cast<double>(answers.size()));
}

Tried try_strength(const AnswerSubject& subject, const Design& design, double strength, int64_t max_new_tokens) {
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
  tried.kl = measure_cost_of_hooks(*subject.model, *subject.tokenizer, tried.plan->hooks(), kUtilityContexts)
                 .at("kl_to_base")
                 .get<double>();
  return tried;
}

ChosenDefence given_edits(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  ChosenDefence given;
  given.plan = std::make_shared<const ClampPlan>(read_clamps(spec.defence.edits, *subject.model), subject.model->config());
  return given;
}

Design design_of(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  say(concat("answers of the undefended model to ", subject.train.size(), " training requests"));
  const Contrast contrast = contrast_of(subject, answer_all(subject, subject.train, {}, kContrastTokens));
  return spec.defence.kind == "features" ? design_features(spec, subject, contrast)
                                         : design_directions(spec, subject, contrast);
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

ChosenDefence restore_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Json& choice) {
  if (spec.defence.kind == "edits") return given_edits(spec, subject);
  const double strength = choice.at("strength").get<double>();
  return {design_of(spec, subject).at_strength(strength, subject.model->config()), choice, sae_names_of(spec)};
}

ChosenDefence choose_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  if (spec.defence.kind == "edits") return given_edits(spec, subject);
  const Design design = design_of(spec, subject);
  const std::vector<double> strengths =
      spec.defence.strength ? std::vector<double>{*spec.defence.strength} : spec.defence.strengths;
  Json table = Json::array();
  std::optional<Tried> best;
  say("strength  refused  degenerate  false refusals  KL on text");
  for (const double strength : strengths) {
    const Tried tried = try_strength(subject, design, strength, spec.max_new_tokens);
    char line[120];
    std::snprintf(line, sizeof line, "%8.2f  %6.0f%%  %9.0f%%  %13.0f%%  %10.3f", tried.strength, 100 * tried.refused,
                  100 * tried.degenerate, 100 * tried.false_refusals, tried.kl);
    say(line);
    table.push_back({{"strength", tried.strength}, {"refused", tried.refused}, {"degenerate", tried.degenerate},
                     {"false_refusals", tried.false_refusals}, {"kl_to_base", tried.kl}});
    const auto is_clean = [&](const Tried& t) { return t.degenerate <= spec.defence.max_degenerate; };
    const bool is_better = !best || (is_clean(tried) && !is_clean(*best)) ||
                           (is_clean(tried) == is_clean(*best) && tried.refused > best->refused);
    if (is_better) best = tried;
  }
  ChosenDefence chosen{best->plan, {}, sae_names_of(spec)};
  chosen.choice = {{"rule", concat("the strength with most refusals on training requests among those with at most ",
                                   100 * spec.defence.max_degenerate, " % degenerate answers; the weaker of equals")},
                   {"kind", spec.defence.kind},
                   {"n_train", subject.train.size()},
                   {"n_safe", subject.safe.size()},
                   {"strength", best->strength},
                   {"tried", table}};
  return chosen;
}

}  // namespace rebound
