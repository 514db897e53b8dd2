// What a loss is worth in training compute: Gao et al. 2024 (arXiv 2406.04093, section 4.1), for
// a reconstruction or a clamp spliced into a model.
//
//   share = C(L_spliced) / C(L_clean)        C the inverse of the family's scaling curve
//
// Both losses go through the curve. The model's own loss lies a little beside the curve (one run,
// one seed): over its real compute that gap would be read as a cost or a gain of the splice, and a
// splice that changes nothing would not be 100 %. How far beside the curve the model lies is told
// apart, as the share of the real compute (of_training).
//
// Nothing is extrapolated: outside the compute of the fitted runs, widened by kRangeSlack at both
// ends, a share is a bound, with its relation.
//
// Intervals are percentiles over draws in which both the curve (residual bootstrap, power_law.h)
// and the loss difference (contexts drawn with replacement, clean and spliced together) vary.
// L_clean is kept: other contexts would move it and the curve's losses alike. A draw whose curve
// never comes down to L_clean prices it without end: its share of C(L_clean) is 0 where the spliced
// loss is higher, 1 where it is the same, infinite where it is lower. Draws that no law fits are
// left out and counted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rebound/scaling/curve.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

constexpr double kRangeSlack = 1.25;

// kBelow: the loss is above what the smallest runs have, so the share is less than the value.
// kAbove: it is below what the largest have, so the share is more.
enum class ShareRelation { kEqual, kBelow, kAbove };
std::string to_string(ShareRelation relation);  // "=", "<", ">"

struct ComputeShare {
  // low is 0 for kBelow, high infinite for kAbove. Else NaN of one context, which does not say how
  // contexts differ.
  Estimate share;
  ShareRelation relation = ShareRelation::kEqual;
};

struct ShareOptions {
  double confidence = 0.95;
  int draws = 2000;
  uint64_t seed = 0;
};

class ComputePrice {
 public:
  // Throws NumericError when no law fits the curve.
  explicit ComputePrice(const ScalingCurve& curve, ShareOptions options = {});

  const PowerLaw& law() const { return law_; }
  // Between these, slack included, nothing is a bound.
  double least_compute() const { return least_; }
  double most_compute() const { return most_; }
  bool is_inside(double loss) const;
  int64_t draws() const { return static_cast<int64_t>(draws_.size()); }
  int64_t draws_without_law() const;

  // `clean` and `spliced`: mean loss of each context, the same contexts. Nothing when the clean
  // loss is outside the fitted range.
  std::optional<ComputeShare> of_clean(const std::vector<double>& clean,
                                       const std::vector<double>& spliced) const;
  // The same over `compute`, what the model's training took.
  std::optional<ComputeShare> of_training(const std::vector<double>& clean,
                                          const std::vector<double>& spliced,
                                          double compute) const;

 private:
  struct Bounded {
    double compute;
    ShareRelation relation;
  };
  Bounded bounded_compute(const PowerLaw& law, double loss) const;
  // `compute` 0: C(L_clean).
  std::optional<ComputeShare> share(const std::vector<double>& clean,
                                    const std::vector<double>& spliced,
                                    double compute) const;

  ShareOptions options_;
  PowerLaw law_;
  std::vector<std::optional<PowerLaw>> draws_;
  double least_ = 0, most_ = 0;
};

}  // namespace rebound
