#include "rebound/audit/fold_sweep.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/audit/fold_rates.h"
#include "rebound/audit/result_figures.h"
#include "rebound/base/progress.h"

namespace rebound {
namespace {

constexpr double kThresholds[] = {0.001, 0.01};
constexpr int64_t kFeatures[] = {10, 20};
constexpr double kStrengths[] = {25, 50, 100, 200};
constexpr double kRetained = 0.99;

int64_t right_under(const Subject& subject, const Prompts& prompts, const Defence* defence) {
  if (prompts.empty()) return 0;
  const at::NoGradGuard no_grad;
  const at::Tensor margin =
      logit_differences(*subject.model, scored(prompts), defence ? defence->hooks() : Hooks{});
  return (margin > 0).sum().item<int64_t>();
}

struct FoldPrompts {
  Prompts forget, retain;  // that the model knows
};

UnlearningPoint measure_point(const Subject& subject,
                              const FoldRates& rates,
                              const std::vector<FoldPrompts>& folds,
                              UnlearningPoint point) {
  int64_t forget_right = 0, retain_right = 0;
  for (size_t i = 0; i < folds.size(); ++i) {
    FeatureEdit edit{.features = firing_rate_features(
                         rates.forget[i], rates.retain[i], point.retain_threshold, point.features),
                     .kind = EditKind::kSet,
                     .value = point.value};
    // Without a feature there is no clamp, and everything stays as it was.
    std::unique_ptr<const Defence> defence;
    if (!edit.features.empty()) {
      defence = std::make_unique<const Defence>(
          subject.sae, std::vector{edit}, subject.statistics.sink_norm);
    }
    point.n_forget += static_cast<int64_t>(folds[i].forget.size());
    point.n_retain += static_cast<int64_t>(folds[i].retain.size());
    forget_right += right_under(subject, folds[i].forget, defence.get());
    retain_right += right_under(subject, folds[i].retain, defence.get());
  }
  const auto accuracy = [](int64_t right, int64_t n) {
    return n == 0 ? std::numeric_limits<double>::quiet_NaN()
                  : static_cast<double>(right) / static_cast<double>(n);
  };
  point.forget_accuracy = accuracy(forget_right, point.n_forget);
  point.retained_accuracy = accuracy(retain_right, point.n_retain);
  return point;
}

}  // namespace

double unlearning_score(const std::vector<UnlearningPoint>& points) {
  double least = 1;
  for (const UnlearningPoint& point : points) {
    if (std::isnan(point.retained_accuracy)) return point.retained_accuracy;
    if (point.retained_accuracy >= kRetained) least = std::min(least, point.forget_accuracy);
  }
  return 1 - least;
}

Json sweep_unlearning(const Subject& subject) {
  const FoldRates rates = fold_rates(subject);
  std::vector<FoldPrompts> folds;
  for (int64_t fold = 0; fold < fold_count(subject); ++fold) {
    folds.push_back({known_of(*subject.model, prompts_of_fold(subject.prompts.test, fold)),
                     known_of(*subject.model, prompts_of_fold(subject.retain, fold))});
  }
  std::vector<UnlearningPoint> points;
  Progress progress("sweep", 16);
  for (const double threshold : kThresholds) {
    for (const int64_t features : kFeatures) {
      for (const double strength : kStrengths) {
        points.push_back(measure_point(
            subject,
            rates,
            folds,
            {.retain_threshold = threshold, .features = features, .value = -strength}));
        progress.update(static_cast<int64_t>(points.size()));
      }
    }
  }
  Json list = Json::array();
  for (const UnlearningPoint& point : points) {
    list.push_back(
        {{"name",
          concat("retain<", point.retain_threshold, " n", point.features, " m", -point.value)},
         {"retain_threshold", point.retain_threshold},
         {"features", point.features},
         {"value", point.value},
         {"forget_accuracy", finite_or_null(point.forget_accuracy)},
         {"n_forget", point.n_forget},
         {"retained_accuracy", finite_or_null(point.retained_accuracy)},
         {"n_retain", point.n_retain}});
  }
  return {{"unlearning_score", finite_or_null(unlearning_score(points))}, {"points", list}};
}

}  // namespace rebound
