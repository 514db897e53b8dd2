// SAEBench's unlearning score, beside ours: the best of 16 clamps chosen by firing rates.
#pragma once

#include <vector>

#include "rebound/audit/subject.h"

namespace rebound {

struct UnlearningPoint {
  double retain_threshold = 0;
  int64_t features = 0;
  double value = 0;            // features are set to it where active: -m
  double forget_accuracy = 0;  // of what the model knew, under the clamp; NaN of nothing
  double retained_accuracy = 0;
  int64_t n_forget = 0, n_retain = 0;  // that the model knew
};

// 1 - the least forget accuracy of the points with retained accuracy >= 0.99; 0 where none has. NaN
// where a retained accuracy is: what a clamp of nothing keeps cannot be held against 99 %.
double unlearning_score(const std::vector<UnlearningPoint>& points);

// thresholds {0.001, 0.01} x {10, 20} features x m {25, 50, 100, 200}; features are chosen on other
// folds than they are tested on. {"unlearning_score", "points": [...]}; what is NaN is null.
Json sweep_unlearning(const Subject& subject);

}  // namespace rebound
