#include "rebound/audit/verdict.h"

#include <cmath>
#include <cstdio>

#include "rebound/base/error.h"

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
  return concat(
      figure(estimate.value), " [", figure(estimate.low), ", ", figure(estimate.high), "]");
}

bool is_measured(const Estimate& estimate) { return !std::isnan(estimate.value); }

// A ratio that may be anything is none.
bool is_ratio_measured(const Estimate& ratio) {
  return is_measured(ratio) && (ratio.low > 0 || !std::isinf(ratio.high));
}

bool is_specificity_measured(const VerdictInput& in) {
  return is_ratio_measured(in.specificity) || is_measured(in.shared_above_wrong);
}

std::string answers_sentence(const VerdictInput& in) {
  const std::string less = concat("it succeeds less often by ",
                                  interval(in.above_injected),
                                  ", but such answers start further away");
  if (!is_measured(in.specificity))
    return concat("At this budget the answer to another request is tried, too: ", less, ".");
  return concat("Per nat of gap, writing the answer to another request costs ",
                interval(in.specificity),
                " times what recovery costs (at this budget ",
                less,
                ").");
}

std::string specificity_sentence(const VerdictInput& in) {
  if (std::isfinite(in.above_injected.value)) return answers_sentence(in);
  const bool has_ratio = is_measured(in.specificity),
             has_shared = is_measured(in.shared_above_wrong);
  const std::string ratio = concat("er nat of gap, injecting another answer costs ",
                                   interval(in.specificity),
                                   " times what recovery costs");
  const std::string shared =
      concat("ne shared perturbation beats its wrong-rule control on held-out prompts by ",
             interval(in.shared_above_wrong));
  if (has_ratio && has_shared) return concat("P", ratio, ", and o", shared, ".");
  if (has_ratio) return concat("P", ratio, ".");
  if (has_shared) return concat("O", shared, ".");
  return "What it costs to write another answer was not measured.";
}

std::string missing_figures(const VerdictInput& in) {
  std::string list;
  const auto add = [&](bool is_missing, const char* what) {
    if (is_missing) list += concat(list.empty() ? "" : "; ", what);
  };
  add(std::isnan(in.binding_share), "whether the constraint binds");
  add(!in.is_power_measured, "whether the attack finds a planted leak");
  add(!is_measured(in.above_random), "what random directions do");
  add(!is_specificity_measured(in), "what it costs to write another answer");
  return list;
}

std::string found_text(const VerdictInput& in) {
  const bool has_groups = in.n_clusters > 0 && in.n_clusters < in.n_valid;
  return concat("With the defence on, ",
                in.row,
                " brings the behaviour back on ",
                in.recovered,
                " of ",
                in.n_valid,
                " valid flips (95 % interval ",
                percent(in.rate.low),
                " to ",
                percent(in.rate.high),
                has_groups ? concat(", over ", in.n_clusters, " groups of near-duplicates") : "",
                ")");
}

Verdict not_measured(const VerdictInput& in) {
  return {"partial",
          concat(found_text(in),
                 ". Not measured, so that no more is concluded: ",
                 missing_figures(in),
                 ".")};
}

Verdict above_random_verdict(const VerdictInput& in) {
  const bool is_specific = in.specificity.low > 1 || in.shared_above_wrong.low > 0;
  if (!is_specific && !is_specificity_measured(in)) return not_measured(in);
  return {is_specific ? "handle" : "non-specific",
          concat(found_text(in),
                 ", above random directions of the same norm by ",
                 interval(in.above_random),
                 ". ",
                 specificity_sentence(in))};
}

}  // namespace

Verdict decide(const VerdictInput& in, const VerdictSpec& rules) {
  if (in.n_valid < rules.min_valid) {
    return {"undetermined",
            concat("Only ",
                   in.n_valid,
                   " of the prompts are valid flips, fewer than the ",
                   rules.min_valid,
                   " that a rate needs. Nothing is concluded.")};
  }
  if (in.binding_share < 0.5) {
    return {"undetermined",
            concat(found_text(in),
                   ", but the constraint binds on only ",
                   percent(in.binding_share),
                   " of the examples. Nothing is concluded.")};
  }
  if (in.has_power_failed) {
    return {"undetermined",
            concat(found_text(in),
                   ", but the attack also missed a leak planted within its budget. "
                   "Nothing is concluded.")};
  }
  if (std::isnan(in.binding_share)) return not_measured(in);
  if (in.rate.high <= rules.bottleneck_rate && in.n_valid >= rules.min_valid_for_bottleneck) {
    if (!in.is_power_measured) return not_measured(in);
    return {
        concat("bottleneck at budget ", in.budget),
        concat(
            found_text(in),
            ". At this budget the defended features are the only route that the attack can find.")};
  }
  if (!is_measured(in.above_random)) return not_measured(in);
  if (in.above_random.low > 0) return above_random_verdict(in);
  return {"partial",
          concat(found_text(in),
                 ", which is not clearly more than random directions of the same norm "
                 "(difference ",
                 interval(in.above_random),
                 "). ",
                 specificity_sentence(in))};
}

}  // namespace rebound
