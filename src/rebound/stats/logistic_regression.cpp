#include "rebound/stats/logistic_regression.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/stats/logistic_loss.h"

namespace rebound {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

void add_scaled(Vector& out, const Vector& a, double scale) {
  for (size_t i = 0; i < out.size(); ++i) out[i] += scale * a[i];
}

double largest(const Vector& a) {
  double most = 0;
  for (const double value : a) most = std::max(most, std::fabs(value));
  return most;
}

// w and b as one vector [d + 1], the intercept last.
class L2Problem {
 public:
  L2Problem(const Samples& samples, double lambda) : samples_(samples), lambda_(lambda) {}

  // Margins w . x_i + b.
  Vector margins(const Vector& point) const {
    return row_products(samples_.x.data(), samples_.n(), samples_.d, point);
  }
  Vector gradient(const Vector& point, const Vector& margins) const {
    const Vector residual = loss_slopes(margins, samples_.is_positive);
    Vector out = column_products(samples_.x.data(), samples_.n(), samples_.d, residual);
    for (int64_t j = 0; j < samples_.d; ++j) at(out, j) += lambda_ * at(point, j);
    return out;
  }
  // The step t > 0 with the least loss along `direction`: a convex function of one variable whose
  // margins move linearly, by Newton's method kept inside a bracket.
  double line_minimum(const Vector& point,
                      const Vector& direction,
                      const Vector& margins,
                      const Vector& change) const;

 private:
  static double& at(Vector& v, int64_t j) { return v[static_cast<size_t>(j)]; }
  static double at(const Vector& v, int64_t j) { return v[static_cast<size_t>(j)]; }

  const Samples& samples_;
  double lambda_;
};

double L2Problem::line_minimum(const Vector& point,
                               const Vector& direction,
                               const Vector& margins,
                               const Vector& change) const {
  constexpr int kMaxSteps = 60;
  constexpr double kEnough = 1e-10, kGrow = 4;
  double wd = 0, dd = 0;
  for (int64_t j = 0; j < samples_.d; ++j) {
    wd += at(point, j) * at(direction, j);
    dd += at(direction, j) * at(direction, j);
  }
  const auto derivatives = [&](double t) {
    double first = lambda_ * (wd + t * dd), second = lambda_ * dd;
    for (size_t i = 0; i < margins.size(); ++i) {
      const double p = sigmoid(margins[i] + t * change[i]);
      first += (p - (samples_.is_positive[i] ? 1 : 0)) * change[i];
      second += p * (1 - p) * change[i] * change[i];
    }
    return std::pair(first, second);
  };
  double low = 0, high = INFINITY, t = 1;
  const double start = std::fabs(derivatives(0).first);
  for (int step = 0; step < kMaxSteps; ++step) {
    const auto [first, second] = derivatives(t);
    if (std::fabs(first) <= kEnough * start) break;
    (first > 0 ? high : low) = t;
    double next = t - first / second;
    if (std::isinf(high))
      next = std::isfinite(next) ? std::min(next, kGrow * t) : kGrow * t;
    else if (!(next > low && next < high))
      next = (low + high) / 2;
    if (next == t) break;
    t = next;
  }
  return t;
}

// Nocedal & Wright, algorithm 7.4: -H g from the last pairs (s, y).
class LbfgsMemory {
 public:
  explicit LbfgsMemory(int size) : size_(static_cast<size_t>(size)) {}

  void add(Vector s, Vector y) {
    const double sy = dot(s, y);
    if (sy <= 0) return;
    pairs_.push_back({std::move(s), std::move(y), 1 / sy});
    if (pairs_.size() > size_) pairs_.pop_front();
  }
  Vector direction(const Vector& gradient) const {
    Vector q = gradient;
    Vector alpha(pairs_.size());
    for (size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = pairs_[i].rho * dot(pairs_[i].s, q);
      add_scaled(q, pairs_[i].y, -alpha[i]);
    }
    const double scale = pairs_.empty()
                             ? 1 / std::max(1e-300, std::sqrt(dot(gradient, gradient)))
                             : 1 / (pairs_.back().rho * dot(pairs_.back().y, pairs_.back().y));
    for (double& value : q) value *= -scale;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const double beta = pairs_[i].rho * dot(pairs_[i].y, q);
      add_scaled(q, pairs_[i].s, -alpha[i] - beta);
    }
    return q;
  }
  void clear() { pairs_.clear(); }
  bool empty() const { return pairs_.empty(); }

 private:
  struct Pair {
    Vector s, y;
    double rho;
  };
  size_t size_;
  std::deque<Pair> pairs_;
};

LinearModel model_of(const Vector& point) {
  return {.weight = Vector(point.begin(), point.end() - 1), .intercept = point.back()};
}

}  // namespace

void L2Options::validate() const {
  require<ConfigError>(lambda > 0, "L2Options.lambda must be > 0, got ", lambda);
  require<ConfigError>(tolerance > 0, "L2Options.tolerance must be > 0, got ", tolerance);
  require<ConfigError>(
      max_iterations > 0, "L2Options.max_iterations must be > 0, got ", max_iterations);
  require<ConfigError>(memory > 0, "L2Options.memory must be > 0, got ", memory);
}

LogisticFit fit_l2(const Samples& samples, const L2Options& options) {
  options.validate();
  samples.validate();
  const L2Problem problem(samples, options.lambda);
  Vector point(static_cast<size_t>(samples.d) + 1, 0.0);
  Vector margins(static_cast<size_t>(samples.n()), 0.0);
  Vector gradient = problem.gradient(point, margins);
  const double enough = options.tolerance * std::max(1.0, largest(gradient));
  LbfgsMemory memory(options.memory);
  LogisticFit fit;
  for (; fit.iterations < options.max_iterations; ++fit.iterations) {
    if (largest(gradient) <= enough) {
      fit.end = FitEnd::kConverged;
      break;
    }
    Vector step = memory.direction(gradient);
    const Vector change = problem.margins(step);
    const double t = problem.line_minimum(point, step, margins, change);
    for (double& value : step) value *= t;
    add_scaled(point, step, 1);
    add_scaled(margins, change, t);
    Vector next = problem.gradient(point, margins);
    Vector y = next;
    add_scaled(y, gradient, -1);
    const bool has_moved = largest(step) > 0;
    if (!has_moved && memory.empty()) {
      fit.end = FitEnd::kNoProgress;
      break;
    }
    if (has_moved)
      memory.add(std::move(step), std::move(y));
    else
      memory.clear();
    gradient = std::move(next);
  }
  fit.max_gradient = largest(gradient);
  fit.model = model_of(point);
  return fit;
}

double l2_objective(const Samples& samples, const LinearModel& model, double lambda) {
  return total_loss(model.scores(samples.x), samples.is_positive) +
         lambda / 2 * dot(model.weight, model.weight);
}

}  // namespace rebound
