// Minimal-budget searches of a run, whoever stored them: one list for charts and tables.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/report.h"

namespace rebound {

struct BudgetSearch {
  std::string series;  // "recover · encoder_decoder", "inject · unrelated"
  bool is_recovery = false;
  int64_t prompt = 0;
  double gap = 0;     // nats of logit deficit in the defended run
  double budget = 0;  // smallest norm that won; infinite where it is censored
  double cap = 0;     // the largest norm that was tried

  bool is_censored() const;
  double reached() const;  // the budget, or the cap where censored
};

// Recoveries before injections. Of the stored results where they have minimal budgets, else of
// headline.minimal_budgets.
std::vector<BudgetSearch> budget_searches(const ReportInput& input);
// The series of a list, in its order.
std::vector<std::string> series_of(const std::vector<BudgetSearch>& searches);

// Share of prompts won by a norm of at most x, several tries of a prompt averaged: a step function.
struct BudgetCurve {
  struct Step {
    double x = 0;
    double share = 0;
  };
  std::string series;
  bool is_recovery = false;
  int64_t n_prompts = 0;
  std::vector<Step> steps;  // from share 0 up to the largest x tried
};

// x is the norm, or the norm per nat of gap. At most 200 steps a curve.
std::vector<BudgetCurve> budget_curves(const std::vector<BudgetSearch>& searches, bool per_nat);

}  // namespace rebound
