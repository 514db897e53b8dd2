#include "rebound/report/attribution_bars.h"
#include "rebound/report/chart.h"
#include "rebound/report/chart_parts.h"

namespace rebound {
namespace {

using chart_parts::field;
using chart_parts::rounded;

Json bar_points(const Json& attribution) {
  Json bars = Json::array();
  for (const AttributionBar& bar : attribution_bars(attribution)) {
    Json point = {{"part", bar.part}, {"measure", bar.measure}, {"share", rounded(bar.share)}};
    if (!bar.count.empty()) {
      point["low"] = rounded(bar.low);
      point["high"] = rounded(bar.high);
      point["recovered"] = bar.count;
    }
    bars.push_back(point);
  }
  return bars;
}

}  // namespace

Chart attribution_chart(const AuditSummary& summary) {
  Chart chart{
      .id = "attribution",
      .title = "Where the perturbation travels",
      .text =
          "Share of prompts still recovered with a part of the perturbation alone, alone at the "
          "norm of the whole, or taken out of it; and its Shapley share of the gain. The interval "
          "is "
          "Wilson's 95 %."};
  const Json bars = bar_points(summary.attribution);
  if (bars.empty()) return chart;
  Json x = field("share", "quantitative", "share"), low = field("low", "quantitative", nullptr);
  x["axis"] = {{"format", "%"}, {"tickCount", 6}};
  low["title"] = "share";
  const Json measures = attribution_measures();
  Json y = field("part", "nominal", nullptr), color = field("measure", "nominal", nullptr);
  y["sort"] = nullptr;
  y["axis"] = {{"labelLimit", 190}, {"labelExpr", "split(datum.label, ' ')"}};
  color["scale"] = {{"domain", measures}};
  color["legend"] = {{"orient", "bottom"}, {"columns", 2}};
  chart.spec = chart_parts::with_data(bars);
  chart.spec["height"] = {{"step", 13}};
  chart.spec["encoding"] = {{"y", y},
                            {"yOffset", {{"field", "measure"}, {"sort", measures}}},
                            {"tooltip",
                             {{{"field", "part"}},
                              {{"field", "measure"}},
                              {{"field", "recovered"}},
                              {{"field", "share"}, {"format", ".1%"}}}}};
  chart.spec["layer"] = {
      {{"mark", {{"type", "bar"}, {"height", 10}}}, {"encoding", {{"x", x}, {"color", color}}}},
      {{"transform", {{{"filter", "isValid(datum.low)"}}}},
       {"mark", {{"type", "rule"}}},
       {"encoding", {{"x", low}, {"x2", {{"field", "high"}}}}}}};
  return chart;
}

}  // namespace rebound
