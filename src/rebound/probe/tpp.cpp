#include "rebound/probe/tpp.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/base/shape.h"
#include "rebound/probe/pooled_probe.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

at::Tensor tensor_of(const std::vector<int64_t>& places) { return at::tensor(places, at::kLong); }

// The fitted probe of one class with the texts it is fitted on and judged by.
struct ClassProbe {
  DenseProbe fitted;
  OneAgainstRest train, test;
  double accuracy = 0;
};

class TppRun {
 public:
  TppRun(const ClassTask& task,
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
    const at::Tensor ablated = ablated_means(sae_, pooled_, features);
    TppRow row = {.name = task_.classes[static_cast<size_t>(which)],
                  .n = n,
                  .ablated = static_cast<int64_t>(features.size()),
                  .features = features,
                  .accuracy = own.accuracy};
    for (const int64_t j : features) row.effects.push_back(effects[j].item<double>());
    for (int64_t other = 0; other < task_.n_classes(); ++other) {
      const ClassProbe& one = probe(other);
      const double drop = one.accuracy - pooled_accuracy(one.fitted.model, ablated, one.test);
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
    return feature_effects(pooled_.code.index_select(0, tensor_of(own.train.place)),
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
    out.fitted = fit_dense(pooled_samples(pooled_.residual, out.train), groups, options_.probe);
    out.accuracy = pooled_accuracy(out.fitted.model, pooled_.residual, out.test);
    return out;
  }

  // Tokens of the class's test texts that the probe gets right before and wrong after.
  std::vector<at::Tensor> valid_flips(int64_t which, const at::Tensor& ablated) const {
    const LinearModel& model = probe(which).fitted.model;
    const at::Tensor before = pooled_logits(model, pooled_.residual),
                     after = pooled_logits(model, ablated);
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

// w . W_dec[j] of every feature, in double.
at::Tensor decoder_reading(const at::Tensor& code, const at::Tensor& weight, const Sae& sae) {
  check_shape("probe weight", weight, {{"d_model", sae.d_in()}});
  check_shape("pooled code", code, {{"texts"}, {"d_sae", sae.d_sae()}});
  return sae.weights().W_dec.to(at::kDouble).mv(weight.to(at::kDouble));
}

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
               {"features", features},
               {"effects", effects},
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
  return mean_code_difference(code, is_positive).clamp_min(0) * decoder_reading(code, weight, sae);
}

at::Tensor absolute_effects(const at::Tensor& code,
                            const std::vector<bool>& is_positive,
                            const at::Tensor& weight,
                            const Sae& sae) {
  return (mean_code_difference(code, is_positive) * decoder_reading(code, weight, sae)).abs();
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
  const std::vector<int64_t> ns = usable_counts(options.n, kTppN, sae.d_sae());
  require_linear_ablation(sae);
  require<DataError>(cache.size() == static_cast<int64_t>(task.texts.size()),
                     "tpp: activations of ",
                     cache.size(),
                     " texts, expected ",
                     task.texts.size());
  const TppRun runner(task, cache, sae, options);
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
