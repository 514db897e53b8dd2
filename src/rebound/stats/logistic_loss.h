// The loss of logistic regression and its products with the data; inner loops of the two solvers.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace rebound {

inline double sigmoid(double z) {
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}

// log(1 + exp(-z)) without overflow.
inline double softplus_of_minus(double z) {
  return z > 0 ? std::log1p(std::exp(-z)) : -z + std::log1p(std::exp(z));
}

// sum_i log(1 + exp(-s_i margin_i))
double total_loss(const std::vector<double>& margins, const std::vector<bool>& is_positive);
// Its slope in each margin: sigmoid(margin_i) - [positive].
std::vector<double> loss_slopes(const std::vector<double>& margins,
                                const std::vector<bool>& is_positive);

// x [n, d] row by row, `point` [d + 1] with the intercept last -> [n]
std::vector<double> row_products(const float* x,
                                 int64_t n,
                                 int64_t d,
                                 const std::vector<double>& point);
// sum_i r_i (x_i, 1) -> [d + 1]
std::vector<double> column_products(const float* x,
                                    int64_t n,
                                    int64_t d,
                                    const std::vector<double>& r);

}  // namespace rebound
