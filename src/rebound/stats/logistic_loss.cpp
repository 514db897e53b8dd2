#include "rebound/stats/logistic_loss.h"

namespace rebound {

double total_loss(const std::vector<double>& margins, const std::vector<bool>& is_positive) {
  double sum = 0;
  for (size_t i = 0; i < margins.size(); ++i) {
    sum += softplus_of_minus(is_positive[i] ? margins[i] : -margins[i]);
  }
  return sum;
}

std::vector<double> loss_slopes(const std::vector<double>& margins,
                                const std::vector<bool>& is_positive) {
  std::vector<double> slopes(margins.size());
  for (size_t i = 0; i < margins.size(); ++i) {
    slopes[i] = sigmoid(margins[i]) - (is_positive[i] ? 1 : 0);
  }
  return slopes;
}

std::vector<double> row_products(const float* x,
                                 int64_t n,
                                 int64_t d,
                                 const std::vector<double>& point) {
  std::vector<double> out(static_cast<size_t>(n));
  const double* w = point.data();
  for (int64_t i = 0; i < n; ++i) {
    const float* row = x + i * d;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; ++j) sum += row[j] * w[j];
    out[static_cast<size_t>(i)] = sum + w[d];
  }
  return out;
}

std::vector<double> column_products(const float* x,
                                    int64_t n,
                                    int64_t d,
                                    const std::vector<double>& r) {
  std::vector<double> out(static_cast<size_t>(d) + 1, 0.0);
  double* to = out.data();
  for (int64_t i = 0; i < n; ++i) {
    const float* row = x + i * d;
    const double slope = r[static_cast<size_t>(i)];
#pragma omp simd
    for (int64_t j = 0; j < d; ++j) to[j] += row[j] * slope;
    to[d] += slope;
  }
  return out;
}

}  // namespace rebound
