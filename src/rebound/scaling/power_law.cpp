#include "rebound/scaling/power_law.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"

namespace rebound {
namespace {

constexpr double kLeastB = 1e-3, kMostB = 3;
constexpr int kGrid = 160;
constexpr int kGoldenSteps = 60;
constexpr int kParameters = 3;

// The best E and a for one b, with compute in units of `unit` so that numbers stay near 1.
struct LinearFit {
  double e = 0, a = 0;
  double squares = std::numeric_limits<double>::infinity();
};

LinearFit fit_given_b(const std::vector<ScalingPoint>& points, double unit, double b) {
  const auto n = static_cast<double>(points.size());
  const auto power = [&](const ScalingPoint& p) { return std::pow(p.compute / unit, -b); };
  double u_mean = 0, loss_mean = 0;
  for (const ScalingPoint& p : points) {
    u_mean += power(p) / n;
    loss_mean += p.loss / n;
  }
  double uu = 0, ul = 0, raw_uu = 0, raw_ul = 0;
  for (const ScalingPoint& p : points) {
    const double u = power(p);
    uu += (u - u_mean) * (u - u_mean);
    ul += (u - u_mean) * (p.loss - loss_mean);
    raw_uu += u * u;
    raw_ul += u * p.loss;
  }
  LinearFit fit{.e = loss_mean - ul / uu * u_mean, .a = ul / uu};
  if (fit.e < 0) fit = {.e = 0, .a = raw_ul / raw_uu};
  fit.squares = 0;
  for (const ScalingPoint& p : points) {
    const double gap = p.loss - fit.e - fit.a * power(p);
    fit.squares += gap * gap;
  }
  return fit;
}

void check_points(const std::vector<ScalingPoint>& points) {
  require<NumericError>(points.size() >= kFewestPoints,
                        "scaling curve: got ",
                        points.size(),
                        " runs, expected at least ",
                        kFewestPoints);
  const auto [least, most] =
      std::minmax_element(points.begin(), points.end(), [](const auto& x, const auto& y) {
        return x.compute < y.compute;
      });
  for (const ScalingPoint& p : points) {
    require<NumericError>(
        std::isfinite(p.compute) && p.compute > 0 && std::isfinite(p.loss) && p.loss > 0,
        "scaling curve: got compute ",
        p.compute,
        " and loss ",
        p.loss,
        ", expected finite numbers > 0");
  }
  require<NumericError>(most->compute > least->compute && most->loss < least->loss,
                        "scaling curve: got loss ",
                        least->loss,
                        " for the least compute and ",
                        most->loss,
                        " for the most, expected a loss that falls");
}

// Minimum of `f` between `low` and `high`, where it has one valley.
template <class Function>
double golden_section(double low, double high, const Function& f) {
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  double left = high - ratio * (high - low), right = low + ratio * (high - low);
  double f_left = f(left), f_right = f(right);
  for (int step = 0; step < kGoldenSteps; ++step) {
    if (f_left < f_right) {
      high = right;
      right = left;
      f_right = f_left;
      left = high - ratio * (high - low);
      f_left = f(left);
    } else {
      low = left;
      left = right;
      f_left = f_right;
      right = low + ratio * (high - low);
      f_right = f(right);
    }
  }
  return (low + high) / 2;
}

double geometric_mean_compute(const std::vector<ScalingPoint>& points) {
  double sum = 0;
  for (const ScalingPoint& p : points) sum += std::log(p.compute);
  return std::exp(sum / static_cast<double>(points.size()));
}

std::optional<PowerLaw> try_fit(const std::vector<ScalingPoint>& points) {
  try {
    return fit_power_law(points);
  } catch (const NumericError&) {
    return std::nullopt;
  }
}

}  // namespace

double PowerLaw::loss_at(double compute) const { return e + a * std::pow(compute, -b); }

std::optional<double> PowerLaw::compute_at(double loss) const {
  if (!(loss > e)) return std::nullopt;
  return std::pow(a / (loss - e), 1 / b);
}

PowerLaw fit_power_law(const std::vector<ScalingPoint>& points) {
  check_points(points);
  const double unit = geometric_mean_compute(points);
  const auto squares = [&](double log_b) {
    return fit_given_b(points, unit, std::exp(log_b)).squares;
  };
  const double first = std::log(kLeastB), step = (std::log(kMostB) - first) / (kGrid - 1);
  int best = 0;
  for (int i = 1; i < kGrid; ++i) {
    if (squares(first + i * step) < squares(first + best * step)) best = i;
  }
  const double low = first + std::max(best - 1, 0) * step;
  const double high = first + std::min(best + 1, kGrid - 1) * step;
  const double b = std::exp(golden_section(low, high, squares));
  const LinearFit fit = fit_given_b(points, unit, b);
  require<NumericError>(
      fit.a > 0, "scaling curve: got a = ", fit.a, ", expected a loss that falls with compute");
  return {.e = fit.e, .a = fit.a * std::pow(unit, b), .b = b};
}

std::vector<std::optional<PowerLaw>> bootstrap_fits(const std::vector<ScalingPoint>& points,
                                                    int draws,
                                                    uint64_t seed) {
  require<ConfigError>(draws > 0, "bootstrap_fits: draws must be > 0, got ", draws);
  const PowerLaw law = fit_power_law(points);
  const auto n = static_cast<double>(points.size());
  std::vector<double> residuals;
  double sum = 0;
  for (const ScalingPoint& p : points) {
    residuals.push_back(p.loss - law.loss_at(p.compute));
    sum += residuals.back();
  }
  const double widened = std::sqrt(n / (n - kParameters));
  for (double& residual : residuals) residual = widened * (residual - sum / n);

  std::vector<std::optional<PowerLaw>> laws;
  for (int draw = 0; draw < draws; ++draw) {
    Rng rng({seed, static_cast<uint64_t>(draw)});
    std::vector<ScalingPoint> drawn = points;
    for (ScalingPoint& p : drawn) {
      const int64_t j = rng.below(static_cast<int64_t>(residuals.size()));
      p.loss = law.loss_at(p.compute) + residuals[static_cast<size_t>(j)];
    }
    laws.push_back(try_fit(drawn));
  }
  return laws;
}

std::vector<std::optional<double>> leave_one_out(const std::vector<ScalingPoint>& points) {
  std::vector<std::optional<double>> predictions;
  for (size_t i = 0; i < points.size(); ++i) {
    std::vector<ScalingPoint> others = points;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const std::optional<PowerLaw> law = try_fit(others);
    predictions.push_back(law ? std::optional(law->loss_at(points[i].compute)) : std::nullopt);
  }
  return predictions;
}

}  // namespace rebound
