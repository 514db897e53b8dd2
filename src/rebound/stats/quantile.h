// Means, quantiles and medians, some of the values being censored at a cap.
//
//   quantile q of sorted x_0..x_{n-1}: linear between the ranks around q (n - 1)   (NumPy's
//   default)
//
// Infinite values are allowed and sort last; they mean "more than the cap".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rebound {

// NaN for no values.
double mean(const std::vector<double>& values);
double median(const std::vector<double>& values);
// `q` in [0, 1]; NaN for no values.
double quantile(std::vector<double> values, double q);

// The median of minimal budgets of which some are only known to exceed `cap`.
// Fewer than half censored: exact. Else the median itself is only known to exceed the cap.
struct CensoredMedian {
  double value = 0;  // the cap where is_censored; NaN for no values
  bool is_censored = false;
  int64_t n = 0;
  int64_t n_censored = 0;
};
// A value is censored if it is NaN, infinite or above the cap by more than 1e-5 of it: a float32 norm
// at the cap may come out as 20.000002 of 20.
CensoredMedian censored_median(const std::vector<double>& values, double cap);
// "2.31", "> 20" where censored, "-" for no values.
std::string to_string(const CensoredMedian& median);

}  // namespace rebound
