// The verdict: written rules on measured numbers, applied in this order (method.md section 4).
//
//   undetermined   fewer than min_valid flips, or fewer than half of the examples have a binding
//                  constraint, or the power check failed
//   bottleneck     upper 95 % bound of recovery <= bottleneck_rate, with enough flips, and the
//                  power check passed
//   handle         recovery clearly above random, and specific: lower bound of the per-gap
//                  specificity > 1, or the shared delta clearly beats its wrong-rule control
//   non-specific   recovery clearly above random, but not specific
//   partial        everything else. A rule whose figures were not measured decides nothing: the
//                  text then says what is missing
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "rebound/audit/spec.h"
#include "rebound/stats/bootstrap.h"
#include "rebound/stats/intervals.h"

namespace rebound {

struct VerdictInput {
  static constexpr double kNoFigure = std::numeric_limits<double>::quiet_NaN();
  static constexpr Estimate kNoEstimate{kNoFigure, kNoFigure, kNoFigure};

  std::string row;  // name of the headline row
  double budget = 0;
  int64_t n_valid = 0;
  int64_t recovered = 0;
  Interval rate;                        // 95 % of recovery (recovery_interval)
  int64_t n_clusters = 0;               // of near-duplicates among the flips; 0: not known
  double binding_share = kNoFigure;     // of examples; NaN: not measured
  Estimate above_random = kNoEstimate;  // recovery minus mean over random draws, paired by prompt
  // (B_inject / gap) / (B_recover / gap), all targets; NaN, or [0, infinity]: not measured.
  Estimate specificity = kNoEstimate;
  Estimate shared_above_wrong =
      kNoEstimate;  // held-out, mean over the shared budgets; NaN: not measured
  // Recovery minus writing another request's answer with the same search, paired; NaN: not
  // measured. Printed for audits of whole answers, never decisive: such answers start further away.
  Estimate above_injected = kNoEstimate;
  bool is_power_measured = false;  // a planted leak was searched for, or the row missed nothing
  bool has_power_failed = false;
};

struct Verdict {
  std::string verdict;
  std::string text;  // two sentences
};

Verdict decide(const VerdictInput& input, const VerdictSpec& rules);

}  // namespace rebound
