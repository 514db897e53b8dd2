// The report's charts: Vega-Lite specs as data, without colours, which the page sets from its
// style. A chart without data has a null spec.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/report.h"

namespace rebound {

struct Chart {
  std::string id;     // of its element in the page, and the name of its files
  std::string title;  // a few words
  std::string text;   // what is drawn, what the marks mean, what is left out
  Json spec = nullptr;
};

// Recovery rate with its 95 % interval by row number, for the rows that leave the defended features
// exactly where they are: drift below 0.001.
Chart exact_rows_chart(const AuditSummary& summary);
// The other rows whose drift was measured: recovery rate against relative pre-activation drift.
Chart drift_chart(const AuditSummary& summary);

// Share of prompts won within a norm, one step curve a series of searches; see budgets.h. The band
// is Wilson's for the first series.
Chart budget_curve_chart(const ReportInput& input);
// The same with the norm per nat of gap, on which specificity rests.
Chart per_nat_curve_chart(const ReportInput& input);
// Every search as one point: minimal norm per nat of gap. At most 300 of each series, evenly taken
// over their order by size.
Chart minimal_budget_chart(const ReportInput& input);
// Held-out recovery of shared perturbations and of their controls by budget.
Chart shared_budget_chart(const AuditSummary& summary);

// Replay, knock-out and norm-matched replay of the parts of the perturbation, and Shapley shares.
Chart attribution_chart(const AuditSummary& summary);

// Without data: the page fills them for the example that is opened.
//   scores     [{"what", "kind", "row", "score"}]
//   steps      [{"row", "step", "objective", "drift_pre", "norm"}]
//   positions  [{"row", "position", "norm"}]
Json score_chart_spec();
Json step_chart_spec();
Json position_chart_spec();

}  // namespace rebound
