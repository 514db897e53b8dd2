// L1 logistic regression: fit_l1, fit_l1_path.
#include <algorithm>
#include <cmath>
#include <set>

#include "rebound/base/error.h"
#include "rebound/stats/logistic_loss.h"
#include "rebound/stats/logistic_regression.h"
#include "rebound/stats/place.h"

namespace rebound {
namespace {

using Vector = std::vector<double>;
using Columns = std::vector<int64_t>;

double soft_threshold(double value, double limit) {
  return std::copysign(std::max(0.0, std::fabs(value) - limit), value);
}

// One weight's share of the KKT violation: 0 is in g + lambda d|w|.
double violation(double weight, double gradient, double lambda) {
  if (weight == 0) return std::max(0.0, std::fabs(gradient) - lambda);
  return std::fabs(gradient + std::copysign(lambda, weight));
}

class L1Solver {
 public:
  L1Solver(const Samples& samples, const L1PathOptions& options);

  double first_lambda() const;  // the least at which w = 0 is optimal
  LogisticFit solve(double lambda);
  int64_t nonzero() const;

 private:
  struct Direction {
    Vector weight;  // [columns]
    double intercept = 0;
    Vector margins;  // [n]
  };
  // The two sums over examples that everything is made of; `column` may be null: all ones.
  static double product(const float* column, const Vector& a);
  const float* column(int64_t j) const { return columns_.data() + j * samples_.n(); }
  Vector full_gradient() const;
  double worst(const Columns& among, const Vector& gradient, double lambda) const;
  Direction newton_direction(const Columns& among, double lambda) const;
  double take_step(const Columns& among, const Direction& direction, double lambda);
  int solve_on(const Columns& among, double lambda, double enough, int most);

  const Samples& samples_;
  const L1PathOptions& options_;
  std::vector<float> columns_;  // [d, n]
  Vector weight_, margins_;
  double intercept_ = 0, last_lambda_ = 0, first_lambda_ = 0;
};

L1Solver::L1Solver(const Samples& samples, const L1PathOptions& options)
    : samples_(samples),
      options_(options),
      columns_(samples.x.size()),
      weight_(place(samples.d), 0.0) {
  const int64_t n = samples.n(), d = samples.d;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < d; ++j) columns_[place(j * n + i)] = samples.x[place(i * d + j)];
  }
  const double positives = static_cast<double>(samples.positives());
  intercept_ = std::log(positives / (static_cast<double>(n) - positives));
  margins_.assign(place(n), intercept_);
  for (const double g : full_gradient()) first_lambda_ = std::max(first_lambda_, std::fabs(g));
  last_lambda_ = first_lambda_;
}

double L1Solver::first_lambda() const { return first_lambda_; }

int64_t L1Solver::nonzero() const {
  return std::count_if(weight_.begin(), weight_.end(), [](double w) { return w != 0; });
}

double L1Solver::product(const float* column, const Vector& a) {
  double sum = 0;
  const double* values = a.data();
  const auto n = static_cast<int64_t>(a.size());
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += column[i] * values[i];
  return sum;
}

Vector L1Solver::full_gradient() const {
  const Vector slopes = loss_slopes(margins_, samples_.is_positive);
  Vector gradient(weight_.size());
  for (int64_t j = 0; j < samples_.d; ++j) gradient[place(j)] = product(column(j), slopes);
  return gradient;
}

double L1Solver::worst(const Columns& among, const Vector& gradient, double lambda) const {
  double most = 0;
  for (const int64_t j : among) {
    most = std::max(most, violation(weight_[place(j)], gradient[place(j)], lambda));
  }
  return most;
}

// Minimises the quadratic model of the loss plus lambda |w + step|_1 by coordinate descent
// (Yuan, Ho, Lin 2012, newGLMNET).
L1Solver::Direction L1Solver::newton_direction(const Columns& among, double lambda) const {
  constexpr int kMaxSweeps = 100;
  constexpr double kEnough = 1e-3, kRidge = 1e-9;
  const Vector slopes = loss_slopes(margins_, samples_.is_positive);
  const size_t n = slopes.size();
  Vector curvature(n), residual = slopes;  // residual: slopes + curvature * margins of the step
  double all_curvature = kRidge;
  for (size_t i = 0; i < n; ++i) {
    const double p = slopes[i] + (samples_.is_positive[i] ? 1 : 0);
    curvature[i] = std::max(p * (1 - p), 1e-12);
    all_curvature += curvature[i];
  }
  Vector diagonal(among.size(), kRidge);
  for (size_t c = 0; c < among.size(); ++c) {
    const float* x = column(among[c]);
    for (size_t i = 0; i < n; ++i) diagonal[c] += curvature[i] * x[i] * x[i];
  }
  Direction out = {Vector(among.size(), 0.0), 0, Vector(n, 0.0)};
  double first_change = 0;
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    double most = 0;
    for (size_t c = 0; c < among.size(); ++c) {
      const float* x = column(among[c]);
      const double now = weight_[place(among[c])] + out.weight[c];
      const double slope = product(x, residual);
      const double next = soft_threshold(now - slope / diagonal[c], lambda / diagonal[c]);
      const double change = next - now;
      if (change == 0) continue;
      out.weight[c] += change;
      for (size_t i = 0; i < n; ++i) {
        out.margins[i] += change * x[i];
        residual[i] += curvature[i] * change * x[i];
      }
      most = std::max(most, diagonal[c] * change * change);
    }
    double sum = 0;
    for (const double r : residual) sum += r;
    const double change = -sum / all_curvature;
    out.intercept += change;
    for (size_t i = 0; i < n; ++i) {
      out.margins[i] += change;
      residual[i] += curvature[i] * change;
    }
    most = std::max(most, all_curvature * change * change);
    if (sweep == 0) first_change = most;
    if (most <= kEnough * kEnough * first_change) break;
  }
  return out;
}

// Halves the step until the objective falls enough (Armijo). Returns the step taken, 0 if none.
double L1Solver::take_step(const Columns& among, const Direction& direction, double lambda) {
  constexpr double kShare = 0.01;
  constexpr int kHalvings = 40;
  const auto norm_at = [&](double t) {
    double sum = 0;
    for (size_t c = 0; c < among.size(); ++c) {
      sum += std::fabs(weight_[place(among[c])] + t * direction.weight[c]);
    }
    return sum;
  };
  const Vector slopes = loss_slopes(margins_, samples_.is_positive);
  double promised = lambda * (norm_at(1) - norm_at(0));
  for (size_t i = 0; i < slopes.size(); ++i) promised += slopes[i] * direction.margins[i];
  const double before = total_loss(margins_, samples_.is_positive) + lambda * norm_at(0);
  double t = 1;
  for (int halving = 0; halving < kHalvings; ++halving, t /= 2) {
    Vector moved = margins_;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += t * direction.margins[i];
    const double after = total_loss(moved, samples_.is_positive) + lambda * norm_at(t);
    if (after > before + kShare * t * promised) continue;
    for (size_t c = 0; c < among.size(); ++c) weight_[place(among[c])] += t * direction.weight[c];
    intercept_ += t * direction.intercept;
    margins_ = std::move(moved);
    return t;
  }
  return 0;
}

int L1Solver::solve_on(const Columns& among, double lambda, double enough, int most) {
  for (int step = 0; step < most; ++step) {
    const Vector slopes = loss_slopes(margins_, samples_.is_positive);
    double off = 0, sum = 0;
    for (const double slope : slopes) sum += slope;
    for (const int64_t j : among) {
      off = std::max(off, violation(weight_[place(j)], product(column(j), slopes), lambda));
    }
    if (std::max(off, std::fabs(sum)) <= enough) return step;
    if (take_step(among, newton_direction(among, lambda), lambda) == 0) return step + 1;
  }
  return most;
}

LogisticFit L1Solver::solve(double lambda) {
  const double enough = options_.tolerance * first_lambda_;
  Columns all(place(samples_.d));
  for (size_t j = 0; j < all.size(); ++j) all[j] = static_cast<int64_t>(j);
  Vector gradient = full_gradient();
  std::set<int64_t> chosen;
  for (const int64_t j : all) {
    const bool is_strong = std::fabs(gradient[place(j)]) >= 2 * lambda - last_lambda_;
    if (weight_[place(j)] != 0 || is_strong) chosen.insert(j);
  }
  LogisticFit fit;
  while (fit.iterations < options_.max_iterations) {
    const Columns among(chosen.begin(), chosen.end());
    fit.iterations +=
        std::max(1, solve_on(among, lambda, enough, options_.max_iterations - fit.iterations));
    gradient = full_gradient();
    const size_t before = chosen.size();
    for (const int64_t j : all) {
      if (violation(weight_[place(j)], gradient[place(j)], lambda) > enough) chosen.insert(j);
    }
    if (chosen.size() == before) break;
  }
  fit.max_gradient = worst(all, gradient, lambda);
  fit.end = fit.max_gradient <= enough                  ? FitEnd::kConverged
            : fit.iterations >= options_.max_iterations ? FitEnd::kMaxIterations
                                                        : FitEnd::kNoProgress;
  fit.model = {weight_, intercept_};
  last_lambda_ = lambda;
  return fit;
}

}  // namespace

void L1PathOptions::validate() const {
  require<ConfigError>(steps > 0, "L1PathOptions.steps must be > 0, got ", steps);
  require<ConfigError>(
      min_ratio > 0 && min_ratio < 1, "L1PathOptions.min_ratio must be in (0, 1), got ", min_ratio);
  require<ConfigError>(max_nonzero > 0, "L1PathOptions.max_nonzero must be > 0, got ", max_nonzero);
  require<ConfigError>(tolerance > 0, "L1PathOptions.tolerance must be > 0, got ", tolerance);
  require<ConfigError>(
      max_iterations > 0, "L1PathOptions.max_iterations must be > 0, got ", max_iterations);
}

LogisticFit fit_l1(const Samples& samples, double lambda, const L1PathOptions& options) {
  options.validate();
  samples.validate();
  require<ConfigError>(lambda > 0, "fit_l1: lambda must be > 0, got ", lambda);
  return L1Solver(samples, options).solve(lambda);
}

std::vector<L1Step> fit_l1_path(const Samples& samples, const L1PathOptions& options) {
  options.validate();
  samples.validate();
  L1Solver solver(samples, options);
  std::vector<L1Step> path;
  for (int step = 1; step <= options.steps; ++step) {
    const double share = static_cast<double>(step) / options.steps;
    const double lambda = solver.first_lambda() * std::pow(options.min_ratio, share);
    if (lambda <= 0) break;  // every column is uncorrelated with the labels
    LogisticFit fit = solver.solve(lambda);
    path.push_back({lambda, std::move(fit), solver.nonzero()});
    if (path.back().nonzero >= options.max_nonzero) break;
  }
  return path;
}

std::vector<int64_t> order_of_entry(const std::vector<L1Step>& path, int64_t k) {
  std::vector<int64_t> order;
  std::set<int64_t> seen;
  for (const L1Step& step : path) {
    const Vector& weight = step.fit.model.weight;
    Columns fresh;
    for (size_t j = 0; j < weight.size(); ++j) {
      if (weight[j] != 0 && seen.insert(static_cast<int64_t>(j)).second) {
        fresh.push_back(static_cast<int64_t>(j));
      }
    }
    std::stable_sort(fresh.begin(), fresh.end(), [&](int64_t a, int64_t b) {
      return std::fabs(weight[place(a)]) > std::fabs(weight[place(b)]);
    });
    order.insert(order.end(), fresh.begin(), fresh.end());
  }
  order.resize(std::min(order.size(), place(k)));
  return order;
}

}  // namespace rebound
