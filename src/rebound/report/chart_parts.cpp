#include "rebound/report/chart_parts.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace rebound::chart_parts {

Json field(const char* name, const char* type, const char* title) {
  return {{"field", name}, {"type", type}, {"title", title ? Json(title) : Json()}};
}

Json rate_axis(const char* name) {
  Json axis = field(name, "quantitative", nullptr);
  axis["axis"] = {{"format", "%"}, {"values", {0, 0.2, 0.4, 0.6, 0.8, 1}}};
  axis["scale"] = {{"domain", {0, 1.04}}};
  return axis;
}

Json with_data(const Json& values) {
  return {{"width", "container"},
          {"autosize", {{"type", "fit-x"}, {"contains", "padding"}}},
          {"data", {{"values", values}}}};
}

double rounded(double value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

}  // namespace rebound::chart_parts
