// Logistic regression on a few thousand examples: L2 by L-BFGS, and the path of L1 solutions.
//
//   l_i(w, b) = log(1 + exp(-s_i (w . x_i + b))),   s_i = 1 for positive examples, else -1
//   L2        minimize  sum_i l_i + lambda / 2 |w|^2
//   L1        minimize  sum_i l_i + lambda |w|_1
//
// The intercept b carries no penalty and the sum is not divided by n: lambda = 1 / C of
// scikit-learn (solvers lbfgs and saga). Sums are in double. Nothing is scaled here: see
// standardise.
#pragma once

#include <cstdint>
#include <vector>

#include "rebound/stats/samples.h"

namespace rebound {

enum class FitEnd { kConverged, kMaxIterations, kNoProgress };

struct LogisticFit {
  LinearModel model;
  FitEnd end = FitEnd::kMaxIterations;
  int iterations = 0;
  double max_gradient =
      0;  // L2: of the objective. L1: the largest violation of the KKT conditions.
  bool is_usable() const { return end != FitEnd::kMaxIterations; }
};

struct L2Options {
  double lambda = 1;        // > 0
  double tolerance = 1e-7;  // ends when |gradient|_inf <= tolerance * max(1, that at w = 0)
  int max_iterations = 2000;
  int memory = 10;  // pairs that L-BFGS keeps

  void validate() const;
};

// Throws ConfigError on options, DataError on samples.
LogisticFit fit_l2(const Samples& samples, const L2Options& options = {});
// sum_i l_i + lambda / 2 |w|^2, for tests and for choosing lambda.
double l2_objective(const Samples& samples, const LinearModel& model, double lambda);

struct L1PathOptions {
  int steps = 60;            // values of lambda, geometric from the largest
  double min_ratio = 1e-3;   // last lambda / first; the first is the least that gives w = 0
  int64_t max_nonzero = 50;  // the path ends once so many weights are not 0
  double tolerance = 1e-6;   // of the KKT conditions, times the first lambda
  int max_iterations = 200;  // Newton steps for each lambda

  void validate() const;
};

struct L1Step {
  double lambda = 0;
  LogisticFit fit;
  int64_t nonzero = 0;
};

// Proximal Newton steps solved by coordinate descent, each lambda started from the one before; the
// strong rule (Tibshirani et al. 2012) picks the columns looked at, and every column is checked at
// the end. Throws as fit_l2.
std::vector<L1Step> fit_l1_path(const Samples& samples, const L1PathOptions& options = {});
LogisticFit fit_l1(const Samples& samples, double lambda, const L1PathOptions& options = {});

// Columns in the order in which they enter the path, at most `k`; those of one step by |weight|.
std::vector<int64_t> order_of_entry(const std::vector<L1Step>& path, int64_t k);

}  // namespace rebound
