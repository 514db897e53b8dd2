// The verdict: written rules on measured numbers, applied in this order (method.md section 4).
//
//   undetermined   fewer than min_valid flips, or fewer than half of the examples have a binding
//                  constraint, or the power check failed
//   bottleneck     upper 95 % bound of recovery <= bottleneck_rate, with enough flips
//   handle         recovery clearly above random, and specific: lower bound of the per-gap
//                  specificity > 1, or the shared delta clearly beats its wrong-rule control
//   non-specific   recovery clearly above random, but not specific
//   partial        everything else
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "rebound/audit/spec.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

struct VerdictInput {
  std::string row;  // name of the headline row
  double budget = 0;
  int64_t n_valid = 0;
  int64_t recovered = 0;
  double binding_share = 0;     // of examples
  Estimate above_random;        // recovery minus mean over random draws, paired by prompt
  Estimate specificity;         // (B_inject / gap) / (B_recover / gap), all targets; NaN: not measured
  Estimate shared_above_wrong;  // held-out, mean over the shared budgets; NaN: not measured
  // Recovery minus writing another request's answer with the same search, paired; NaN: not measured. Printed
  // for audits of whole answers, never decisive: such answers start further away.
  Estimate above_injected{kNoFigure, kNoFigure, kNoFigure};
  bool has_power_failed = false;

  static constexpr double kNoFigure = std::numeric_limits<double>::quiet_NaN();
};

struct Verdict {
  std::string verdict;
  std::string text;  // two sentences
};

Verdict decide(const VerdictInput& input, const VerdictSpec& rules);

}  // namespace rebound
