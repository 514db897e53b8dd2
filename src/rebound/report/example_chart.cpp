#include "rebound/report/chart.h"
#include "rebound/report/chart_parts.h"

namespace rebound {
namespace {

using chart_parts::field;

Json row_color() {
  Json color = field("row", "nominal", nullptr);
  color["legend"] = {{"orient", "bottom"}, {"columns", 1}, {"labelLimit", 320}};
  return color;
}

Json step_panel(const char* name, const char* title) {
  Json panel = {{"width", "container"}, {"height", 100}, {"mark", {{"type", "line"}}}};
  Json step = field("step", "quantitative", "step");
  step["axis"] = {{"tickMinStep", 1}, {"format", "d"}};
  panel["encoding"] = {{"x", step},
                       {"y", field(name, "quantitative", title)},
                       {"color", row_color()},
                       {"strokeDash", row_color()}};
  return panel;
}

}  // namespace

Json score_chart_spec() {
  Json spec = chart_parts::with_data(Json::array());
  Json y = field("what", "nominal", nullptr), kind = field("kind", "nominal", nullptr),
       zero = Json::object();
  y["sort"] = nullptr;
  y["axis"] = {{"grid", true}, {"labelLimit", 150}};
  kind["scale"] = {{"domain", {"attack", "without the defence", "with the defence"}},
                   {"range", {"circle", "diamond", "square"}}};
  kind["legend"] = nullptr;
  Json color = field("kind", "nominal", nullptr);
  color["scale"] = {{"domain", {"attack", "without the defence", "with the defence"}}};
  color["legend"] = nullptr;
  zero["datum"] = 0;
  Json x = field("score", "quantitative", "score; above 0 the behaviour is shown");
  x["axis"] = {{"tickCount", 8}};
  spec["height"] = {{"step", 20}};
  spec["layer"] = {
      {{"mark", {{"type", "rule"}, {"strokeDash", {4, 3}}}}, {"encoding", {{"x", zero}}}},
      {{"mark", {{"type", "point"}, {"filled", true}, {"size", 60}, {"opacity", 1}}},
       {"encoding",
        {{"x", x},
         {"y", y},
         {"color", color},
         {"shape", kind},
         {"tooltip", {{{"field", "row"}}, {{"field", "score"}}}}}}}};
  return spec;
}

Json step_chart_spec() {
  return {{"data", {{"values", Json::array()}}},
          {"vconcat",
           {step_panel("objective", "objective"),
            step_panel("drift_pre", "drift"),
            step_panel("norm", "norm")}}};
}

Json position_chart_spec() {
  Json spec = chart_parts::with_data(Json::array());
  Json x = field("position", "ordinal", "perturbed position, in order");
  x["axis"] = {{"labelAngle", 0}, {"labelOverlap", "greedy"}};
  spec["height"] = 140;
  spec["mark"] = "bar";
  spec["encoding"] = {{"x", x},
                      {"y", field("norm", "quantitative", "norm")},
                      {"xOffset", {{"field", "row"}}},
                      {"color", row_color()}};
  return spec;
}

}  // namespace rebound
