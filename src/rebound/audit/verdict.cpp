#include "rebound/audit/verdict.h"

#include <cmath>
#include <cstdio>

#include "rebound/base/error.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100 * share);
  return text;
}

// A ratio is unbounded where every injection needs more than the budget.
std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return std::isinf(value) ? "unbounded" : text;
}

std::string interval(const Estimate& estimate) {
  if (std::isnan(estimate.value)) return "not measured";
  return concat(figure(estimate.value), " [", figure(estimate.low), ", ", figure(estimate.high), "]");
}

std::string specificity_sentence(const VerdictInput& in) {
  if (std::isfinite(in.above_injected.value)) {
    return concat("Per nat of gap, writing the answer to another request costs ", interval(in.specificity),
                  " times what recovery costs (at this budget it succeeds less often by ", interval(in.above_injected),
                  ", but such answers start further away).");
  }
  return concat("Per nat of gap, injecting another answer costs ", interval(in.specificity),
                " times what recovery costs, and one shared perturbation beats its wrong-rule control on held-out "
                "prompts by ", interval(in.shared_above_wrong), ".");
}

}  // namespace

Verdict decide(const VerdictInput& in, const VerdictSpec& rules) {
  const Interval rate = wilson(in.recovered, in.n_valid);
  const std::string found = concat("With the defence on, ", in.row, " brings the behaviour back on ", in.recovered,
                                   " of ", in.n_valid, " valid flips (95 % interval ", percent(rate.low), " to ",
                                   percent(rate.high), ")");
  if (in.n_valid < rules.min_valid) {
    return {"undetermined", concat("Only ", in.n_valid, " of the prompts are valid flips, fewer than the ",
                                   rules.min_valid, " that a rate needs. Nothing is concluded.")};
  }
  if (in.binding_share < 0.5) {
    return {"undetermined", concat(found, ", but the constraint binds on only ", percent(in.binding_share),
                                   " of the examples. Nothing is concluded.")};
  }
  if (in.has_power_failed) {
    return {"undetermined", concat(found, ", but the attack also missed a leak planted within its budget. "
                                   "Nothing is concluded.")};
  }
  if (rate.high <= rules.bottleneck_rate && in.n_valid >= rules.min_valid_for_bottleneck) {
    return {concat("bottleneck at budget ", in.budget),
            concat(found, ". At this budget the defended features are the only route that the attack can find.")};
  }
  if (!std::isfinite(in.above_random.value)) {
    return {"partial", concat(found, ". Controls were off, so nothing is said about what random directions or other "
                              "answers would do.")};
  }
  if (in.above_random.low > 0) {
    const bool is_specific = in.specificity.low > 1 || in.shared_above_wrong.low > 0;
    const std::string margin = concat(found, ", above random directions of the same norm by ",
                                      interval(in.above_random), ". ");
    return {is_specific ? "handle" : "non-specific", margin + specificity_sentence(in)};
  }
  return {"partial", concat(found, ", which is not clearly more than random directions of the same norm (difference ",
                            interval(in.above_random), "). ", specificity_sentence(in))};
}

}  // namespace rebound
