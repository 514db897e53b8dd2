#include "rebound/probe/tpp.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/base/shape.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

at::Tensor index_of(const std::vector<int64_t>& places) { return at::tensor(places, at::kLong); }

at::Tensor weight_of(const LinearModel& model) {
  return at::tensor(model.weight, at::kDouble).to(at::kFloat);
}

Samples samples_of(const at::Tensor& pooled, const OneAgainstRest& texts) {
  const at::Tensor some = pooled.index_select(0, index_of(texts.place)).contiguous();
  const float* values = some.data_ptr<float>();
  return {
      .d = some.size(1), .x = {values, values + some.numel()}, .is_positive = texts.is_positive};
}

// Logits of each text, in double. [texts]
at::Tensor logits_of(const LinearModel& probe, const at::Tensor& pooled) {
  return pooled.to(at::kDouble).mv(at::tensor(probe.weight, at::kDouble)) + probe.intercept;
}

double accuracy_of(const LinearModel& probe,
                   const at::Tensor& pooled,
                   const OneAgainstRest& texts) {
  const at::Tensor logits = logits_of(probe, pooled);
  const double* values = logits.data_ptr<double>();
  int64_t right = 0;
  for (size_t i = 0; i < texts.place.size(); ++i) {
    right += (values[texts.place[i]] > 0) == texts.is_positive[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(texts.place.size());
}

std::vector<int64_t> usable_n(const std::vector<int64_t>& asked, int64_t d_sae) {
  std::vector<int64_t> usable;
  for (const int64_t n : asked.empty() ? kTppN : asked) {
    const bool is_possible = n >= 1 && n <= d_sae;
    require<ConfigError>(is_possible || asked.empty(),
                         "n: got ",
                         n,
                         ", expected 1 to ",
                         d_sae,
                         ", the latents of the SAE");
    if (is_possible) usable.push_back(n);
  }
  std::sort(usable.begin(), usable.end());
  usable.erase(std::unique(usable.begin(), usable.end()), usable.end());
  return usable;
}

// The fitted probe of one class with the texts it is fitted on and judged by.
struct ClassProbe {
  DenseProbe fitted;
  OneAgainstRest train, test;
  double accuracy = 0;
};

class Runner {
 public:
  Runner(const ClassTask& task,
         const ActivationCache& cache,
         const Sae& sae,
         const TppOptions& options)
      : task_(task),
        cache_(cache),
        sae_(sae),
        options_(options),
        pooled_(pool_features(cache, {Pooler::Kind::kMean}, &sae)) {
    for (int64_t which = 0; which < task.n_classes(); ++which) probes_.push_back(fit(which));
  }

  TppRow row(int64_t which, int64_t n, const at::Tensor& effects) const {
    const ClassProbe& own = probe(which);
    const Sae::Features features = top_effects(effects, n);
    const at::Tensor ablated = ablated_means(features);
    TppRow row = {.name = task_.classes[static_cast<size_t>(which)],
                  .n = n,
                  .ablated = static_cast<int64_t>(features.size()),
                  .accuracy = own.accuracy};
    for (int64_t other = 0; other < task_.n_classes(); ++other) {
      const ClassProbe& one = probe(other);
      const double drop = one.accuracy - accuracy_of(one.fitted.model, ablated, one.test);
      (other == which ? row.own_drop : row.other_drop) += drop;
    }
    row.other_drop /= static_cast<double>(task_.n_classes() - 1);
    row.tpp = row.own_drop - row.other_drop;
    const std::vector<at::Tensor> flips = valid_flips(which, ablated);
    const PooledReadout readout = {weight_of(own.fitted.model), own.fitted.model.intercept};
    row.none = recover_pooled("none", flips, readout, sae_, features, options_.recovery);
    row.encoder = recover_pooled("encoder", flips, readout, sae_, features, options_.recovery);
    return row;
  }

  at::Tensor effects(int64_t which) const {
    const ClassProbe& own = probe(which);
    return feature_effects(pooled_.code.index_select(0, index_of(own.train.place)),
                           own.train.is_positive,
                           weight_of(own.fitted.model),
                           sae_);
  }

  double lambda(int64_t which) const { return probe(which).fitted.lambda; }

 private:
  const ClassProbe& probe(int64_t which) const { return probes_[static_cast<size_t>(which)]; }

  ClassProbe fit(int64_t which) const {
    ClassProbe out;
    out.train = one_against_rest(task_, which, Split::kTrain, options_.seed);
    out.test = one_against_rest(task_, which, Split::kTest, options_.seed);
    std::vector<std::string> groups;
    for (const int64_t i : out.train.place)
      groups.push_back(task_.texts[static_cast<size_t>(i)].group);
    out.fitted = fit_dense(samples_of(pooled_.residual, out.train), groups, options_.probe);
    out.accuracy = accuracy_of(out.fitted.model, pooled_.residual, out.test);
    return out;
  }

  // Mean residuals after the ablation: without a norm it is linear in the codes of each token.
  at::Tensor ablated_means(const Sae::Features& features) const {
    if (features.empty()) return pooled_.residual;
    const at::Tensor code = pooled_.code.index_select(1, index_of(features));
    return pooled_.residual + sae_.decode_delta(features, -code);
  }

  // Tokens of the class's test texts that the probe gets right before and wrong after.
  std::vector<at::Tensor> valid_flips(int64_t which, const at::Tensor& ablated) const {
    const LinearModel& model = probe(which).fitted.model;
    const at::Tensor before = logits_of(model, pooled_.residual), after = logits_of(model, ablated);
    std::vector<at::Tensor> flips;
    for (const int64_t i : task_.of_class(which, Split::kTest)) {
      const bool is_flip = before[i].item<double>() > 0 && after[i].item<double>() <= 0;
      if (is_flip) flips.push_back(cache_.tokens(i));
    }
    return flips;
  }

  const ClassTask& task_;
  const ActivationCache& cache_;
  const Sae& sae_;
  const TppOptions& options_;
  PooledFeatures pooled_;
  std::vector<ClassProbe> probes_;
};

Json rate_of(int64_t count, int64_t n) {
  return n > 0 ? Json(static_cast<double>(count) / static_cast<double>(n)) : Json();
}

Json number_of(double value) { return std::isfinite(value) ? Json(value) : Json(); }

void add_rung(const PooledRecovery& rung, Json& json) {
  const Interval interval = wilson(rung.recovered, rung.n);
  json["recovered_" + rung.rung] = rate_of(rung.recovered, rung.n);
  json["ci_low_" + rung.rung] = rung.n > 0 ? Json(interval.low) : Json();
  json["ci_high_" + rung.rung] = rung.n > 0 ? Json(interval.high) : Json();
  json["zero_reactivation_" + rung.rung] = rate_of(rung.zero_reactivation, rung.n);
  json["reactivated_fraction_" + rung.rung] = number_of(rung.reactivated_fraction);
  json["drift_pre_" + rung.rung] = number_of(rung.drift_pre);
  json["drift_post_" + rung.rung] = number_of(rung.drift_post);
  json["gain_" + rung.rung] = number_of(rung.gain);
  json["minimal_budget_" + rung.rung] = number_of(rung.minimal_budget);
}

}  // namespace

Json TppRow::to_json() const {
  Json json = {{"class", name},
               {"n", n},
               {"ablated", ablated},
               {"tpp", tpp},
               {"own_drop", own_drop},
               {"other_drop", other_drop},
               {"accuracy", accuracy},
               {"n_valid", encoder.n},
               {"reactivated_fraction", number_of(encoder.reactivated_fraction)},
               {"certificate_ratio",
                number_of(std::fmin(none.certificate_ratio, encoder.certificate_ratio))},
               {"free_dimension", encoder.free_dimension}};
  add_rung(none, json);
  add_rung(encoder, json);
  return json;
}

at::Tensor feature_effects(const at::Tensor& code,
                           const std::vector<bool>& is_positive,
                           const at::Tensor& weight,
                           const Sae& sae) {
  const auto n = static_cast<int64_t>(is_positive.size());
  check_shape("pooled code", code, {{"texts", n}, {"d_sae", sae.d_sae()}});
  check_shape("probe weight", weight, {{"d_model", sae.d_in()}});
  std::vector<int64_t> of[2];
  for (int64_t i = 0; i < n; ++i) of[is_positive[static_cast<size_t>(i)] ? 1 : 0].push_back(i);
  require<DataError>(!of[0].empty() && !of[1].empty(),
                     "labels: got ",
                     of[1].size(),
                     " positive and ",
                     of[0].size(),
                     " negative texts, expected some of both");
  const auto mean = [&](int side) {
    return code.index_select(0, index_of(of[side])).to(at::kDouble).mean(0);
  };
  const at::Tensor read = sae.weights().W_dec.to(at::kDouble).mv(weight.to(at::kDouble));
  return (mean(1) - mean(0)).clamp_min(0) * read;
}

Sae::Features top_effects(const at::Tensor& effects, int64_t n) {
  const at::Tensor exact = effects.to(at::kDouble).contiguous();
  const double* e = exact.data_ptr<double>();
  Sae::Features features(static_cast<size_t>(exact.numel()));
  std::iota(features.begin(), features.end(), 0);
  features.erase(
      std::remove_if(features.begin(), features.end(), [&](int64_t j) { return e[j] == 0; }),
      features.end());
  std::stable_sort(
      features.begin(), features.end(), [&](int64_t a, int64_t b) { return e[a] > e[b]; });
  features.resize(std::min(features.size(), static_cast<size_t>(n)));
  return features;
}

TppReport run_tpp(const ClassTask& task,
                  const ActivationCache& cache,
                  const Sae& sae,
                  const TppOptions& options) {
  task.validate();
  options.recovery.validate();
  const std::vector<int64_t> ns = usable_n(options.n, sae.d_sae());
  require<ConfigError>(sae.config().norm == SaeNorm::kNone,
                       "tpp: the SAE normalises its input (",
                       to_string(sae.config().norm),
                       "), expected one that does not");
  require<DataError>(cache.size() == static_cast<int64_t>(task.texts.size()),
                     "tpp: activations of ",
                     cache.size(),
                     " texts, expected ",
                     task.texts.size());
  const Runner runner(task, cache, sae, options);
  TppReport report;
  for (const int64_t n : ns) report.scores.emplace_back(n, 0.0);
  Progress progress("ablations", task.n_classes() * static_cast<int64_t>(ns.size()));
  for (int64_t which = 0; which < task.n_classes(); ++which) {
    const at::Tensor effects = runner.effects(which);
    report.lambda.push_back(runner.lambda(which));
    for (size_t i = 0; i < ns.size(); ++i) {
      report.rows.push_back(runner.row(which, ns[i], effects));
      report.scores[i].second += report.rows.back().tpp / static_cast<double>(task.n_classes());
      progress.update(static_cast<int64_t>(report.rows.size()));
    }
  }
  return report;
}

}  // namespace rebound
