// Labelled examples as rows of features, linear models of them, and the scaling between the two.
#pragma once

#include <cstdint>
#include <vector>

namespace rebound {

struct Samples {
  int64_t d = 0;
  std::vector<float> x;           // [n, d], row by row
  std::vector<bool> is_positive;  // [n]

  int64_t n() const { return static_cast<int64_t>(is_positive.size()); }
  int64_t positives() const;
  // Throws DataError unless x is [n, d], finite, and both classes are there.
  void validate() const;
  // Some examples, some columns of them.
  Samples rows(const std::vector<int64_t>& index) const;
  Samples columns(const std::vector<int64_t>& index) const;
};

struct LinearModel {
  std::vector<double> weight;  // [d]
  double intercept = 0;

  // w . x_i + b of each row. x [n, d].
  std::vector<double> scores(const std::vector<float>& x) const;
};

// Column means and standard deviations (with n); a constant column has scale 1.
struct Standardiser {
  std::vector<double> mean, scale;  // [d]

  void apply(std::vector<float>& x) const;  // (x - mean) / scale, in place
  // The model of raw features that gives the scores of `model` on standardised ones.
  LinearModel on_raw(const LinearModel& model) const;
};
Standardiser standardiser_of(const Samples& samples);

// The `k` columns whose class means differ most, in absolute value; the lower index first if equal.
std::vector<int64_t> largest_mean_differences(const Samples& samples, int64_t k);

}  // namespace rebound
