#include <algorithm>
#include <cmath>
#include <map>

#include "rebound/report/budgets.h"
#include "rebound/report/chart.h"
#include "rebound/report/chart_parts.h"
#include "rebound/report/figure.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

using chart_parts::field;
using chart_parts::rate_axis;
using chart_parts::rounded;
using chart_parts::with_data;

constexpr size_t kMostPoints = 300;

Json curve_points(const std::vector<BudgetCurve>& curves) {
  Json points = Json::array();
  for (size_t c = 0; c < curves.size(); ++c) {
    for (const BudgetCurve::Step& step : curves[c].steps) {
      Json point = {{"series", plain(curves[c].series)},
                    {"kind", curves[c].is_recovery ? "recover" : "inject"},
                    {"x", rounded(step.x)},
                    {"share", rounded(step.share)}};
      if (c == 0) {
        const auto n = curves[c].n_prompts;
        const Interval band = wilson(std::lround(step.share * static_cast<double>(n)), n);
        point["low"] = rounded(band.low);
        point["high"] = rounded(band.high);
      }
      points.push_back(point);
    }
  }
  return points;
}

Json series_names(const std::vector<BudgetSearch>& searches) {
  Json names = Json::array();
  for (const std::string& series : series_of(searches)) names.push_back(plain(series));
  return names;
}

Json bottom_legend() {
  return {{"orient", "bottom"}, {"columns", 2}, {"symbolType", "stroke"}, {"symbolSize", 300}};
}

Json curve_spec(const std::vector<BudgetSearch>& searches, bool per_nat) {
  Json x = field("x", "quantitative", per_nat ? "norm per nat of gap" : "norm of the perturbation");
  x["scale"] = {{"type", "log"}, {"nice", false}};
  x["axis"] = {{"tickCount", 6}, {"format", "~g"}};
  Json color = field("series", "nominal", nullptr), dash = color;
  color["scale"] = {{"domain", series_names(searches)}};
  color["legend"] = bottom_legend();
  dash["scale"] = color["scale"];
  dash["legend"] = bottom_legend();
  Json share = rate_axis("share"), low = rate_axis("low");
  share["title"] = "prompts won";
  low["title"] = "prompts won";
  Json spec = with_data(curve_points(budget_curves(searches, per_nat)));
  spec["height"] = 240;
  spec["encoding"] = {{"x", x}};
  const Json band = {{"type", "area"}, {"interpolate", "step-after"}, {"opacity", 0.14}};
  const Json line = {{"type", "line"}, {"interpolate", "step-after"}, {"strokeWidth", 2}};
  spec["layer"] = {
      {{"transform", {{{"filter", "isValid(datum.low)"}}}},
       {"mark", band},
       {"encoding", {{"y", low}, {"y2", {{"field", "high"}}}}}},
      {{"mark", line}, {"encoding", {{"y", share}, {"color", color}, {"strokeDash", dash}}}}};
  return spec;
}

Json search_points(const std::vector<BudgetSearch>& searches) {
  Json points = Json::array();
  for (const std::string& series : series_of(searches)) {
    std::vector<const BudgetSearch*> mine;
    for (const BudgetSearch& search : searches) {
      if (search.series == series) mine.push_back(&search);
    }
    std::stable_sort(mine.begin(), mine.end(), [](const auto* a, const auto* b) {
      return a->reached() / a->gap < b->reached() / b->gap;
    });
    const size_t n = std::min(mine.size(), kMostPoints);
    for (size_t i = 0; i < n; ++i) {
      const BudgetSearch& search = *mine[n == 1 ? 0 : i * (mine.size() - 1) / (n - 1)];
      points.push_back({{"series", plain(series)},
                        {"prompt", search.prompt},
                        {"gap", rounded(search.gap)},
                        {"norm", rounded(search.reached())},
                        {"per_nat", rounded(search.reached() / search.gap)},
                        {"search", search.is_censored() ? "censored" : "found"},
                        {"lane", i % 5}});
    }
  }
  return points;
}

// Budgets of a shared row by what it is: the attack, the wrong rule, random directions.
Json shared_points(const AuditSummary& summary) {
  std::map<std::string, int> budgets;
  Json points = Json::array();
  for (const RowSummary& row : summary.rows) {
    if (row.scope != "shared" || !std::isfinite(row.budget) || !std::isfinite(row.rate)) continue;
    const std::string control = row.control.value_or("");
    const std::string series = row.is_attack()       ? "shared perturbation, " + row.constraint
                               : control == "inject" ? "wrong rule"
                               : control == "random" ? "random directions"
                                                     : words(control);
    ++budgets[series];
    points.push_back({{"series", plain(series)},
                      {"row", plain(row.name)},
                      {"budget", row.budget},
                      {"recovered", count_of(row.recovered, row.n_valid)},
                      {"rate", rounded(row.rate)},
                      {"low", rounded(std::isfinite(row.ci_low) ? row.ci_low : row.rate)},
                      {"high", rounded(std::isfinite(row.ci_high) ? row.ci_high : row.rate)}});
  }
  const bool is_curve =
      std::any_of(budgets.begin(), budgets.end(), [](const auto& of) { return of.second > 1; });
  return is_curve ? points : Json::array();
}

}  // namespace

Chart budget_curve_chart(const ReportInput& input) {
  const std::vector<BudgetSearch> searches = budget_searches(input);
  Chart chart{.id = "budget-curve",
              .title = "Won within a norm",
              .text =
                  "Share of prompts that a perturbation of at most this norm wins: recovering the "
                  "behaviour against injecting something else. Where a curve ends below 100 %, the "
                  "largest norm tried was not enough. Band: 95 % of the first curve."};
  if (!searches.empty()) chart.spec = curve_spec(searches, false);
  return chart;
}

Chart per_nat_curve_chart(const ReportInput& input) {
  const std::vector<BudgetSearch> searches = budget_searches(input);
  Chart chart{
      .id = "per-nat-curve",
      .title = "Won within a norm per nat of gap",
      .text =
          "The same with each norm divided by the nats that had to be gained. Curves on one "
          "another: recovery costs what writing anything else costs."};
  if (!searches.empty()) chart.spec = curve_spec(searches, true);
  return chart;
}

Chart minimal_budget_chart(const ReportInput& input) {
  Chart chart{
      .id = "minimal-budgets",
      .title = "Minimal budgets, search by search",
      .text = concat("Norm per nat of gap of every search. Triangles are censored: the largest "
                     "norm tried was not enough. At most ",
                     kMostPoints,
                     " searches of a kind are drawn, evenly "
                     "taken over their order.")};
  const std::vector<BudgetSearch> searches = budget_searches(input);
  if (searches.empty()) return chart;
  Json x = field("per_nat", "quantitative", "minimal norm per nat of gap");
  x["scale"] = {{"type", "log"}, {"nice", false}, {"padding", 8}};
  x["axis"] = {{"tickCount", 6}, {"format", "~g"}};
  Json y = field("series", "nominal", nullptr), color = y,
       shape = field("search", "nominal", nullptr);
  y["scale"] = color["scale"] = {{"domain", series_names(searches)}};
  y["axis"] = {{"labelLimit", 190}, {"labelExpr", "split(datum.label, ' · ')"}};
  color["legend"] = nullptr;
  shape["scale"] = {{"domain", {"found", "censored"}}, {"range", {"circle", "triangle-right"}}};
  shape["legend"] = {{"orient", "bottom"}};
  chart.spec = with_data(search_points(searches));
  chart.spec["height"] = {{"step", 11}};
  chart.spec["mark"] = {{"type", "point"}, {"filled", true}, {"size", 38}, {"opacity", 0.65}};
  chart.spec["encoding"] = {{"x", x},
                            {"y", y},
                            {"yOffset", {{"field", "lane"}, {"type", "ordinal"}}},
                            {"color", color},
                            {"shape", shape},
                            {"tooltip",
                             {{{"field", "prompt"}},
                              {{"field", "series"}},
                              {{"field", "norm"}},
                              {{"field", "gap"}},
                              {{"field", "per_nat"}},
                              {{"field", "search"}}}}};
  return chart;
}

Chart shared_budget_chart(const AuditSummary& summary) {
  Chart chart{
      .id = "shared-budgets",
      .title = "One perturbation for all prompts",
      .text =
          "Held-out recovery of a perturbation fitted on other prompts, by budget, beside "
          "one fitted to a wrong rule and random directions of the same norm. A route beats both."};
  const Json points = shared_points(summary);
  if (points.empty()) return chart;
  Json x = field("budget", "quantitative", "budget"), color = field("series", "nominal", nullptr);
  x["scale"] = {{"type", "log"}, {"nice", false}, {"padding", 12}};
  x["axis"] = {{"tickCount", 5}, {"format", "~g"}};
  // One domain for all channels, so that their legends become one.
  Json domain = Json::array();
  for (const Json& of : points) {
    if (std::find(domain.begin(), domain.end(), of.at("series")) == domain.end())
      domain.push_back(of.at("series"));
  }
  color["scale"] = {{"domain", domain}};
  color["legend"] = {{"orient", "bottom"}, {"columns", 2}, {"symbolOpacity", 1}};
  Json rate = rate_axis("rate"), low = rate_axis("low");
  rate["title"] = "recovered, held out";
  low["title"] = "recovered, held out";
  const Json point = {{"type", "point"}, {"filled", true}, {"size", 55}, {"opacity", 1}};
  chart.spec = with_data(points);
  chart.spec["height"] = 240;
  chart.spec["encoding"] = {
      {"x", x}, {"color", color}, {"tooltip", {{{"field", "row"}}, {{"field", "recovered"}}}}};
  chart.spec["layer"] = {{{"mark", {{"type", "rule"}, {"opacity", 0.5}}},
                          {"encoding", {{"y", low}, {"y2", {{"field", "high"}}}}}},
                         {{"mark", {{"type", "line"}, {"strokeWidth", 2}}},
                          {"encoding", {{"y", rate}, {"strokeDash", color}}}},
                         {{"mark", point}, {"encoding", {{"y", rate}, {"shape", color}}}}};
  return chart;
}

}  // namespace rebound
