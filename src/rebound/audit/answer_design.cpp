#include "rebound/audit/answer_design.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/intervene/contrast.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/model/device.h"
#include "rebound/sae/sae_lens_format.h"

namespace rebound {
namespace {

constexpr const char* kRefusal = "I'm sorry, but I can't assist with that request.";
constexpr int64_t kContrastTokens = 16;

std::map<Site, double> sink_norms(const AnswerSubject& subject, const std::vector<Site>& sites) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<int64_t>> prompts;
  for (const PosedRequest& request : subject.train) prompts.push_back(request.ids);
  const TokenBatch tokens = TokenBatch::from(prompts);
  Hooks hooks;
  hooks.capture.insert(sites.begin(), sites.end());
  const RunOutput run = subject.model->run(tokens, {.hooks = hooks});
  const Rows rows = on_device(tokens, subject.model->device()).rows();
  std::map<Site, double> norms;
  for (const Site& site : sites) norms[site] = sink_norm_of(run.activations.at(site), rows);
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

AnswerDesign design_directions(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Contrast& contrast) {
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
  AnswerDesign design;
  for (const Site& site : sites) {
    design.parts.push_back({site, refusing.at(site) - complying.at(site), nullptr, {}, {}, sinks.at(site)});
  }
  return design;
}

AnswerDesign design_features(const AnswerAuditSpec& spec, const AnswerSubject& subject, const Contrast& contrast) {
  int64_t most = spec.defence.features;
  for (const int64_t count : spec.feature_counts) most = std::max(most, count);
  AnswerDesign design;
  std::vector<Site> sites;
  for (const std::string& folder : spec.defence.saes) {
    const auto sae = std::make_shared<const Sae>(load_sae(find_sae(folder)).to(subject.model->device()));
    check_fits(*sae, subject.model->config());
    const AnswerMeanOptions options{.most_tokens = kContrastTokens};
    const at::Tensor difference = answer_mean_code(*subject.model, *sae, contrast.refusing, options) -
                                  answer_mean_code(*subject.model, *sae, contrast.complying, options);
    const auto [values, order] = difference.cpu().sort(-1, /*descending=*/true);
    AnswerDesign::Part part{parse_site(sae->config().hook_name), {}, sae, {}, {}, 0};
    std::vector<std::pair<int64_t, double>> chosen;
    for (int64_t i = 0; i < std::min(most, sae->d_sae()); ++i) {
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
  for (AnswerDesign::Part& part : design.parts) part.sink_norm = sinks.at(part.site);
  return design;
}

// [d_model] what the part's first `count` differences write.
at::Tensor written(const AnswerDesign::Part& part, size_t count) {
  const Sae::Features features(part.features.begin(), part.features.begin() + static_cast<std::ptrdiff_t>(count));
  const std::vector<double> differences(part.differences.begin(),
                                        part.differences.begin() + static_cast<std::ptrdiff_t>(count));
  const at::Tensor weights = at::tensor(differences).to(at::kFloat).to(part.sae->device());
  return at::matmul(weights, part.sae->decoder_rows(features));
}

}  // namespace

std::shared_ptr<const ClampPlan> AnswerDesign::at_strength(double strength, const ModelConfig& model) const {
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

AnswerDesign AnswerDesign::with_features(int64_t count, int64_t reference) const {
  AnswerDesign fewer = *this;
  for (Part& part : fewer.parts) {
    require<ConfigError>(part.sae != nullptr, "feature_counts: got a defence of directions, expected features");
    const auto most = [&](int64_t n) { return std::min(part.features.size(), static_cast<size_t>(n)); };
    const double scale = (written(part, most(reference)).norm() / written(part, most(count)).norm()).item<double>();
    part.features.resize(most(count));
    part.differences.resize(part.features.size());
    for (double& difference : part.differences) difference *= scale;
  }
  return fewer;
}

AnswerDesign design_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject) {
  say(concat("answers of the undefended model to ", subject.train.size(), " training requests"));
  const Contrast contrast = contrast_of(subject, answer_all(subject, subject.train, {}, kContrastTokens));
  return spec.defence.kind == "features" ? design_features(spec, subject, contrast)
                                         : design_directions(spec, subject, contrast);
}

}  // namespace rebound
