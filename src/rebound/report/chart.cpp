#include "rebound/report/chart.h"

#include <algorithm>
#include <cmath>

#include "rebound/report/chart_parts.h"
#include "rebound/report/figure.h"

namespace rebound {
namespace {

using chart_parts::field;
using chart_parts::rate_axis;

// Below it a row's constraint holds exactly, and rows would lie on one another.
constexpr double kExactDrift = 1e-3;

Json drift_points(const AuditSummary& summary, bool exact) {
  Json points = Json::array();
  for (size_t i = 0; i < summary.rows.size(); ++i) {
    const RowSummary& row = summary.rows[i];
    if (!std::isfinite(row.drift_pre_rel) || !std::isfinite(row.rate)) continue;
    if ((row.drift_pre_rel < kExactDrift) != exact) continue;
    points.push_back({{"row", plain(row.name)},
                      {"number", i + 1},
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

// Neighbours along the axis take their labels above and below.
Json with_lanes(Json points) {
  std::vector<size_t> order(points.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return points[a].at("drift").get<double>() < points[b].at("drift").get<double>();
  });
  for (size_t i = 0; i < order.size(); ++i) points[order[i]]["lane"] = i % 2;
  return points;
}

Json role_encoding() {
  Json role = field("role", "nominal", nullptr);
  role["legend"] = {{"orient", "bottom"}, {"symbolOpacity", 1}};
  role["scale"] = {{"domain", {"attack", "control"}}};
  return role;
}

Json recovered_axis(const char* name) {
  Json axis = rate_axis(name);
  axis["title"] = "recovered";
  return axis;
}

Json interval_layers(const Json& role) {
  Json shape = role;
  shape["scale"]["range"] = {"circle", "square"};
  return {{{"mark", {{"type", "rule"}, {"opacity", 0.6}, {"strokeWidth", 1.5}}},
           {"encoding", {{"y", recovered_axis("low")}, {"y2", {{"field", "high"}}}}}},
          {{"mark", {{"type", "point"}, {"filled", true}, {"size", 60}, {"opacity", 1}}},
           {"encoding", {{"y", recovered_axis("rate")}, {"shape", shape}}}}};
}

Json tooltip() {
  return {{{"field", "number"}},
          {{"field", "row"}},
          {{"field", "control"}},
          {{"field", "recovered"}},
          {{"field", "low"}, {"format", ".0%"}},
          {{"field", "high"}, {"format", ".0%"}},
          {{"field", "drift"}, {"format", ".3g"}}};
}

Json panel(const Json& points, const Json& x) {
  Json spec = chart_parts::with_data(points);
  spec["height"] = 260;
  spec["encoding"] = {{"x", x}, {"color", role_encoding()}, {"tooltip", tooltip()}};
  spec["layer"] = interval_layers(role_encoding());
  return spec;
}

// Beside the point, above or below it, off the line of its interval.
Json number_layer(int lane) {
  return {
      {"transform", {{{"filter", concat("datum.lane == ", lane)}}}},
      {"mark",
       {{"type", "text"}, {"dx", 5}, {"dy", lane ? 11 : -7}, {"align", "left"}, {"fontSize", 12}}},
      {"encoding", {{"y", recovered_axis("rate")}, {"text", field("number", "nominal", nullptr)}}}};
}

}  // namespace

Chart exact_rows_chart(const AuditSummary& summary) {
  Chart chart{.id = "exact-rows",
              .title = "Defended features exactly in place",
              .text =
                  "Recovery with its 95 % interval, by the numbers of the tables below, for the "
                  "rows whose drift is below 0.001. Circles are attacks, squares controls."};
  const Json points = drift_points(summary, true);
  if (points.empty()) return chart;
  Json x = field("number", "ordinal", "number of the row");
  x["axis"] = {{"labelAngle", 0}, {"labelOverlap", "greedy"}};
  chart.spec = panel(points, x);
  return chart;
}

Chart drift_chart(const AuditSummary& summary) {
  Chart chart{.id = "drift",
              .title = "Defended features moved",
              .text =
                  "The other rows: recovery against how far the defended features are moved, "
                  "relative to where the defence put them. Up and to the left is an attack that "
                  "the defence does not see."};
  const Json points = drift_points(summary, false);
  if (points.empty()) return chart;
  Json x = field("drift", "quantitative", "relative drift of the defended pre-activations");
  x["axis"] = {{"tickCount", 6}};
  x["scale"] = {{"zero", true}, {"nice", true}};
  chart.spec = panel(with_lanes(points), x);
  chart.spec["layer"].push_back(number_layer(0));
  chart.spec["layer"].push_back(number_layer(1));
  return chart;
}

}  // namespace rebound
