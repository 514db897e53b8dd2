#include <cmath>

#include "rebound/report/chart.h"
#include "rebound/report/chart_parts.h"
#include "rebound/report/figure.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

using chart_parts::field;
using chart_parts::rounded;

const char* const kMeasures[] = {
    "replayed alone", "alone, at the whole's norm", "without it", "Shapley share"};

void add_count(Json& bars, const std::string& part, const char* measure, const Json& count) {
  if (!count.is_object()) return;
  const Json n = count.value("n", Json()), recovered = count.value("recovered", Json());
  if (!n.is_number_integer() || !recovered.is_number_integer()) return;
  const int64_t total = n.get<int64_t>(), hits = recovered.get<int64_t>();
  if (total <= 0 || hits < 0 || hits > total) return;
  const Interval interval = wilson(hits, total);
  bars.push_back({{"part", plain(part)},
                  {"measure", measure},
                  {"share", rounded(static_cast<double>(hits) / static_cast<double>(total))},
                  {"low", rounded(interval.low)},
                  {"high", rounded(interval.high)},
                  {"recovered", count_of(hits, total)}});
}

void add_share(Json& bars, const std::string& part, const Json& share) {
  if (!share.is_number() || !std::isfinite(share.get<double>())) return;
  bars.push_back(
      {{"part", plain(part)}, {"measure", kMeasures[3]}, {"share", rounded(share.get<double>())}});
}

void add_part(Json& bars, const Json& part) {
  if (!part.is_object()) return;
  const std::string name = show_json(part.value("name", Json()));
  add_count(bars, name, kMeasures[0], part.value("replay", Json()));
  add_count(bars, name, kMeasures[1], part.value("norm_matched_replay", Json()));
  add_count(bars, name, kMeasures[2], part.value("knock_out", Json()));
  add_share(
      bars,
      name,
      part.contains("shapley_share") ? part.at("shapley_share") : part.value("shapley", Json()));
}

Json attribution_bars(const Json& attribution) {
  Json bars = Json::array();
  if (!attribution.is_object()) return bars;
  const Json parts = attribution.value("parts", Json());
  if (!parts.is_array()) return bars;
  for (const Json& part : parts) add_part(bars, part);
  if (bars.empty()) return bars;
  add_count(bars,
            "strongest other features",
            kMeasures[0],
            attribution.value("top_other_features_replay", Json()));
  add_count(bars,
            "strongest other features",
            kMeasures[2],
            attribution.value("top_other_features_knock_out", Json()));
  add_count(bars,
            "random direction, same norm",
            kMeasures[1],
            attribution.value("random_same_norm", Json()));
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
  const Json bars = attribution_bars(summary.attribution);
  if (bars.empty()) return chart;
  Json x = field("share", "quantitative", "share"), low = field("low", "quantitative", nullptr);
  x["axis"] = {{"format", "%"}, {"tickCount", 6}};
  low["title"] = "share";
  const Json measures = Json(std::vector<std::string>(std::begin(kMeasures), std::end(kMeasures)));
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
