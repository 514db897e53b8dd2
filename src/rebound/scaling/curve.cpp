#include "rebound/scaling/curve.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr size_t kMostRuns = 1000;

ScalingRun read_run(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  ScalingRun run;
  run.name = reader.get<std::string>("name", "");
  run.compute = reader.get<double>("compute");
  run.loss = reader.get<double>("loss");
  run.model_sha256 = reader.get<std::string>("model_sha256", "");
  run.d_model = reader.get<int64_t>("d_model", 0);
  run.n_layers = reader.get<int64_t>("n_layers", 0);
  run.parameters = reader.get<int64_t>("parameters", 0);
  run.tokens = reader.get<int64_t>("tokens", 0);
  reader.finish();
  return run;
}

std::vector<ScalingRun> read_runs(const Json& json, const std::string& where) {
  require<ConfigError>(json.is_array() && json.size() <= kMostRuns,
                       where,
                       ": expected a list of at most ",
                       kMostRuns,
                       " runs");
  std::vector<ScalingRun> runs;
  for (const Json& run : json) runs.push_back(read_run(run, concat(where, "[", runs.size(), "]")));
  return runs;
}

CurveText read_text(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  CurveText text;
  text.file = reader.get<std::string>("file");
  text.sha256 = reader.get<std::string>("sha256", "");
  text.contexts = reader.get<int64_t>("contexts");
  text.context_length = reader.get<int64_t>("context_length", text.context_length);
  reader.finish();
  require<ConfigError>(text.contexts > 0 && text.context_length > 1,
                       where,
                       ": got ",
                       text.contexts,
                       " contexts of ",
                       text.context_length,
                       " tokens, expected more than 0 and more than 1");
  return text;
}

Json run_json(const ScalingRun& run) {
  Json json = {{"name", run.name}, {"compute", run.compute}, {"loss", run.loss}};
  if (!run.model_sha256.empty()) json["model_sha256"] = run.model_sha256;
  const std::pair<const char*, int64_t> sizes[] = {{"d_model", run.d_model},
                                                   {"n_layers", run.n_layers},
                                                   {"parameters", run.parameters},
                                                   {"tokens", run.tokens}};
  for (const auto& [key, size] : sizes) {
    if (size > 0) json[key] = size;
  }
  return json;
}

Json runs_json(const std::vector<ScalingRun>& runs) {
  Json json = Json::array();
  for (const ScalingRun& run : runs) json.push_back(run_json(run));
  return json;
}

Json prediction_json(const ScalingRun& run, std::optional<double> predicted) {
  if (!predicted) return {{"name", run.name}, {"predicted", nullptr}, {"error", nullptr}};
  return {{"name", run.name}, {"predicted", *predicted}, {"error", *predicted / run.loss - 1}};
}

Json fit_json(const ScalingCurve& curve) {
  const std::vector<ScalingPoint> points = curve.points();
  const PowerLaw law = fit_power_law(points);
  Json of_runs = Json::array(), of_held_out = Json::array(), of_others = Json::array();
  const auto from_others = leave_one_out(points);
  double worst = 0;
  for (size_t i = 0; i < curve.runs.size(); ++i) {
    const double predicted = law.loss_at(points[i].compute);
    worst = std::max(worst, std::abs(predicted - points[i].loss));
    of_runs.push_back(prediction_json(curve.runs[i], predicted));
    of_others.push_back(prediction_json(curve.runs[i], from_others[i]));
  }
  for (const ScalingRun& run : curve.held_out) {
    of_held_out.push_back(prediction_json(run, law.loss_at(run.compute)));
  }
  return {{"e", law.e},
          {"a", law.a},
          {"b", law.b},
          {"largest_residual", worst},
          {"runs", of_runs},
          {"held_out", of_held_out},
          {"from_the_others", of_others}};
}

}  // namespace

std::vector<ScalingPoint> ScalingCurve::points() const {
  std::vector<ScalingPoint> points;
  for (const ScalingRun& run : runs) points.push_back({run.compute, run.loss});
  return points;
}

const ScalingRun* ScalingCurve::find_model(const std::string& model_sha256) const {
  if (model_sha256.empty()) return nullptr;
  for (const std::vector<ScalingRun>* group : {&runs, &held_out}) {
    for (const ScalingRun& run : *group) {
      if (run.model_sha256 == model_sha256) return &run;
    }
  }
  return nullptr;
}

ScalingCurve read_curve(const std::filesystem::path& path) {
  return read_curve(read_json_file(path), path.string());
}

ScalingCurve read_curve(const Json& json, const std::string& where) {
  require<ConfigError>(json.is_object(), where, ": got no JSON object, expected a scaling curve");
  ObjectReader reader(json, where);
  ScalingCurve curve;
  curve.family = reader.get<std::string>("family", "");
  curve.runs = read_runs(reader.at("points"), where + ".points");
  const Json none = Json::array();
  curve.held_out =
      read_runs(reader.has("held_out") ? reader.at("held_out") : none, where + ".held_out");
  if (reader.has("text")) curve.text = read_text(reader.at("text"), where + ".text");
  curve.made = reader.get<Json>("made", nullptr);
  for (const char* for_people : {"fit", "held_out", "text"}) reader.get<Json>(for_people, nullptr);
  reader.finish();
  return curve;
}

Json to_json(const ScalingCurve& curve) {
  Json json = {{"family", curve.family},
               {"points", runs_json(curve.runs)},
               {"held_out", runs_json(curve.held_out)},
               {"fit", fit_json(curve)}};
  if (curve.text) {
    json["text"] = {{"file", curve.text->file},
                    {"sha256", curve.text->sha256},
                    {"contexts", curve.text->contexts},
                    {"context_length", curve.text->context_length}};
  }
  if (!curve.made.is_null()) json["made"] = curve.made;
  return json;
}

}  // namespace rebound
