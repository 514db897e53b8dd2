#include "rebound/report/chart.h"

#include <cmath>

#include "rebound/report/figure.h"

namespace rebound {
namespace {

// Below it a row's constraint holds exactly, and rows would lie on one another.
constexpr double kExactDrift = 1e-3;

Json axis(const char* field, const char* title) {
  return {{"field", field}, {"type", "quantitative"}, {"title", title}};
}

Json drift_points(const AuditSummary& summary, bool exact) {
  Json points = Json::array();
  for (size_t i = 0; i < summary.rows.size(); ++i) {
    const RowSummary& row = summary.rows[i];
    if (!std::isfinite(row.drift_pre_rel) || !std::isfinite(row.rate)) continue;
    if ((row.drift_pre_rel < kExactDrift) != exact) continue;
    points.push_back({{"row", plain(row.name)},
                      {"number", std::to_string(i + 1)},
                      {"role", row.is_attack() ? "attack" : "control"},
                      {"control", row.is_attack() ? "" : words(*row.control)},
                      {"recovered", count_of(row.recovered, row.n_valid)},
                      {"drift", row.drift_pre_rel},
                      {"rate", row.rate},
                      {"low", std::isfinite(row.ci_low) ? row.ci_low : row.rate},
                      {"high", std::isfinite(row.ci_high) ? row.ci_high : row.rate}});
  }
  return points;
}

Json budget_points(const Json& searches) {
  Json points = Json::array();
  for (const Json& search : searches) {
    if (!search.is_object() || !search.value("gap", Json()).is_number()) continue;
    const double gap = search.at("gap").get<double>();
    const Json budget = search.value("budget", Json());
    const Json reached = budget.is_number() ? budget : search.value("cap", Json());
    if (gap <= 0 || !reached.is_number()) continue;
    points.push_back({{"kind", search.value("kind", Json())},
                      {"prompt", show_json(search.value("prompt", Json()))},
                      {"target", show_json(search.value("target", Json()))},
                      {"gap", gap},
                      {"norm", reached},
                      {"per_nat", reached.get<double>() / gap},
                      {"search", budget.is_number() ? "found" : "censored"},
                      {"lane", points.size() % 7}});
  }
  return points;
}

Json spec_of(const Json& points) { return {{"data", {{"values", points}}}}; }

Json drift_panel(const Json& points, const Json& x) {
  Json rate = axis("rate", "recovered");
  rate["axis"] = {{"format", "%"}, {"values", {0, 0.2, 0.4, 0.6, 0.8, 1}}};
  rate["scale"] = {{"domain", {0, 1.06}}};
  Json low = rate;
  low["field"] = "low";
  const Json high = {{"field", "high"}};
  const Json domain = {{"domain", {"attack", "control"}}};
  const Json role = {
      {"field", "role"}, {"type", "nominal"}, {"scale", domain}, {"legend", nullptr}};
  const Json tooltip = {{{"field", "row"}},
                        {{"field", "control"}},
                        {{"field", "recovered"}},
                        {{"field", "drift"}, {"format", ".3g"}}};
  const Json text = {{"field", "number"}, {"type", "nominal"}};
  Json spec = spec_of(points);
  spec["height"] = 280;
  spec["encoding"] = {{"x", x}, {"color", role}, {"tooltip", tooltip}};
  spec["layer"] = {
      {{"mark", {{"type", "rule"}, {"opacity", 0.5}}}, {"encoding", {{"y", low}, {"y2", high}}}},
      {{"mark", {{"type", "point"}, {"filled", true}, {"size", 70}, {"opacity", 1}}},
       {"encoding", {{"y", rate}, {"shape", role}}}},
      {{"mark", {{"type", "text"}, {"dx", 12}}}, {"encoding", {{"y", rate}, {"text", text}}}}};
  return spec;
}

}  // namespace

Json drift_chart(const AuditSummary& summary) {
  const Json exact = drift_points(summary, true), others = drift_points(summary, false);
  Json panels = Json::array();
  if (!exact.empty()) {
    const Json row = {{"field", "number"},
                      {"type", "nominal"},
                      {"title", "rows of drift below 0.001"},
                      {"sort", nullptr},
                      {"axis", {{"labels", false}, {"ticks", false}}}};
    panels.push_back(drift_panel(exact, row));
    panels.back()["width"] = {{"step", 21}};
  }
  if (!others.empty()) {
    Json drift = axis("drift", "relative pre-activation drift of the defended features");
    drift["axis"] = {{"tickCount", 6}};
    panels.push_back(drift_panel(others, drift));
    panels.back()["width"] = 380;
  }
  if (panels.empty()) return nullptr;
  return {{"hconcat", panels}};
}

Json minimal_budget_chart(const Json& headline) {
  if (!headline.is_object() || !headline.contains("minimal_budgets")) return nullptr;
  const Json points = budget_points(headline.at("minimal_budgets"));
  if (points.empty()) return nullptr;
  const Json shape = {
      {"field", "search"},
      {"type", "nominal"},
      {"title", nullptr},
      {"scale", {{"domain", {"found", "censored"}}, {"range", {"circle", "triangle-right"}}}}};
  Json spec = spec_of(points);
  spec["width"] = "container";
  spec["height"] = 150;
  spec["mark"] = {{"type", "point"}, {"filled", true}, {"size", 45}, {"opacity", 0.7}};
  spec["encoding"] = {{"x", axis("per_nat", "minimal norm per nat of gap")},
                      {"y",
                       {{"field", "kind"},
                        {"type", "nominal"},
                        {"title", nullptr},
                        {"sort", {"recover", "inject"}}}},
                      {"yOffset", {{"field", "lane"}, {"type", "ordinal"}}},
                      {"color",
                       {{"field", "kind"},
                        {"type", "nominal"},
                        {"legend", nullptr},
                        {"sort", {"recover", "inject"}}}},
                      {"shape", shape},
                      {"tooltip",
                       {{{"field", "prompt"}},
                        {{"field", "target"}},
                        {{"field", "norm"}, {"format", ".3g"}},
                        {{"field", "gap"}, {"format", ".3g"}},
                        {{"field", "per_nat"}, {"format", ".3g"}},
                        {{"field", "search"}}}}};
  return spec;
}

}  // namespace rebound
