// An L2 probe on standardised features whose strength is chosen on the training texts alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/stats/samples.h"

namespace rebound {

struct DenseProbeOptions {
  double lambda = 0;  // of the L2 penalty (logistic_regression.h); 0: chosen by cross-validation
  int folds = 5;      // whole groups

  void validate() const;
};

struct DenseProbe {
  LinearModel model;  // of raw features
  double lambda = 0;
};

// The lambda of kLambdas with the least held-out loss, 1 where a fold would lack a class.
double choose_lambda(const Samples& samples, const std::vector<std::string>& groups, int folds = 5);

// `samples` are raw; groups [n].
DenseProbe fit_dense(const Samples& samples,
                     const std::vector<std::string>& groups,
                     const DenseProbeOptions& options = {});

// A probe on a few columns, refitted almost without penalty (kRefitLambda, on standardised columns:
// separable classes have no finite solution without one). The model has a weight for each of
// `columns`, raw.
constexpr double kRefitLambda = 1e-3;
LinearModel fit_columns(const Samples& samples, const std::vector<int64_t>& columns);

}  // namespace rebound
