#include "rebound/scaling/compute_share.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

constexpr uint64_t kContextStream = 1;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double drawn_mean(const std::vector<double>& values, Rng rng) {
  const auto n = static_cast<int64_t>(values.size());
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += values[static_cast<size_t>(rng.below(n))];
  return sum / static_cast<double>(n);
}

Estimate interval_of(double value, const std::vector<double>& drawn, double confidence) {
  const double tail = (1 - confidence) / 2;
  return {value, quantile(drawn, tail), quantile(drawn, 1 - tail)};
}

}  // namespace

std::string to_string(ShareRelation relation) {
  switch (relation) {
    case ShareRelation::kBelow:
      return "<";
    case ShareRelation::kAbove:
      return ">";
    case ShareRelation::kEqual:
      break;
  }
  return "=";
}

ComputePrice::ComputePrice(const ScalingCurve& curve, ShareOptions options) : options_(options) {
  require<ConfigError>(options.confidence > 0 && options.confidence < 1,
                       "ShareOptions.confidence must be in (0, 1), got ",
                       options.confidence);
  const std::vector<ScalingPoint> points = curve.points();
  law_ = fit_power_law(points);
  draws_ = bootstrap_fits(points, options.draws, options.seed);
  const auto [least, most] =
      std::minmax_element(points.begin(), points.end(), [](const auto& x, const auto& y) {
        return x.compute < y.compute;
      });
  least_ = least->compute / kRangeSlack;
  most_ = most->compute * kRangeSlack;
}

ComputePrice::Bounded ComputePrice::bounded_compute(const PowerLaw& law, double loss) const {
  const std::optional<double> compute = law.compute_at(loss);
  if (!compute || *compute > most_) return {most_, ShareRelation::kAbove};
  if (*compute < least_) return {least_, ShareRelation::kBelow};
  return {*compute, ShareRelation::kEqual};
}

bool ComputePrice::is_inside(double loss) const {
  return bounded_compute(law_, loss).relation == ShareRelation::kEqual;
}

int64_t ComputePrice::draws_without_law() const {
  return std::count(draws_.begin(), draws_.end(), std::nullopt);
}

std::optional<ComputeShare> ComputePrice::share(const std::vector<double>& clean,
                                                const std::vector<double>& spliced,
                                                double compute) const {
  require<ConfigError>(!clean.empty() && clean.size() == spliced.size(),
                       "compute share: got ",
                       clean.size(),
                       " clean and ",
                       spliced.size(),
                       " spliced contexts, expected equally many, at least one");
  const double clean_loss = mean(clean);
  if (!is_inside(clean_loss)) return std::nullopt;
  std::vector<double> differences(clean.size());
  for (size_t i = 0; i < clean.size(); ++i) differences[i] = spliced[i] - clean[i];

  const auto over = [&](const PowerLaw& law) -> std::optional<double> {
    return compute > 0 ? std::optional(compute) : law.compute_at(clean_loss);
  };
  const Bounded whole = bounded_compute(law_, clean_loss + mean(differences));
  // A bound stays one in each draw. Else a draw's curve is followed wherever it leads: cut at the
  // range above the line alone, an identity would seem to cost something.
  const auto worth = [&](const PowerLaw& law, double loss) {
    if (whole.relation != ShareRelation::kEqual) return bounded_compute(law, loss).compute;
    return law.compute_at(loss).value_or(kInfinity);
  };
  std::vector<double> drawn;
  for (size_t draw = 0; draw < draws_.size(); ++draw) {
    const double difference = drawn_mean(differences, Rng({options_.seed, draw, kContextStream}));
    if (!draws_[draw]) continue;
    if (const auto bar = over(*draws_[draw])) {
      drawn.push_back(worth(*draws_[draw], clean_loss + difference) / *bar);
    } else {
      drawn.push_back(difference > 0 ? 0 : difference < 0 ? kInfinity : 1);
    }
  }
  ComputeShare out{interval_of(whole.compute / *over(law_), drawn, options_.confidence),
                   whole.relation};
  if (clean.size() < 2) out.share.low = out.share.high = std::numeric_limits<double>::quiet_NaN();
  if (out.relation == ShareRelation::kBelow) out.share.low = 0;
  if (out.relation == ShareRelation::kAbove) {
    out.share.high = kInfinity;
  }
  return out;
}

std::optional<ComputeShare> ComputePrice::of_clean(const std::vector<double>& clean,
                                                   const std::vector<double>& spliced) const {
  return share(clean, spliced, 0);
}

std::optional<ComputeShare> ComputePrice::of_training(const std::vector<double>& clean,
                                                      const std::vector<double>& spliced,
                                                      double compute) const {
  require<ConfigError>(compute > 0, "of_training: compute must be > 0, got ", compute);
  return share(clean, spliced, compute);
}

}  // namespace rebound
