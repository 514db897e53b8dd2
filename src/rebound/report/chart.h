// Vega-Lite specs of the report's charts, without colours: the page sets them from its style.
#pragma once

#include "rebound/audit/summary.h"

namespace rebound {

// Recovery rate with its interval against relative pre-activation drift, one point per row whose
// drift was measured, numbered as in the tables. Rows of drift < 0.001, where the constraint holds
// exactly, stand side by side in a panel of their own. Null without any.
Json drift_chart(const AuditSummary& summary);

// Minimal norm per nat of gap, one point per search, recover above inject; a search that failed at
// the cap is a triangle at cap / gap. From headline.minimal_budgets; null without any.
Json minimal_budget_chart(const Json& headline);

}  // namespace rebound
