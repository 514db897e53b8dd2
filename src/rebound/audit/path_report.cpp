#include "rebound/audit/path_report.h"

#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "rebound/recover/path_attribution.h"

namespace rebound {
namespace {

// Numbers of all batches under one key, for example "parts/other features/replay".
using Pool = std::map<std::string, std::vector<double>>;

void pour(const Json& json, const std::string& key, Pool& pool) {
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) pour(value, key.empty() ? name : key + "/" + name, pool);
  } else if (json.is_array()) {
    for (const Json& value : json) {
      if (!value.is_string()) pool[key].push_back(value.is_number() ? value.get<double>() : 0.0);
    }
  }
}

// Where answers were judged, their judgement counts; else a score above zero.
Json count(const Pool& pool, const std::string& key) {
  const auto judged = pool.find("recovered/" + key), scored = pool.find(key);
  const std::vector<double> scores = judged != pool.end() ? judged->second
                                     : scored != pool.end() ? scored->second : std::vector<double>();
  const auto won = std::count_if(scores.begin(), scores.end(), [](double score) { return score > 0; });
  return {{"recovered", won}, {"n", scores.size()}};
}

double total(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

Json to_json(const PathFigures& figures) {
  Json parts;
  for (size_t i = 0; i < kParts.size(); ++i) {
    const PartFigures& part = figures.parts[i];
    parts[to_string(kParts[i])] = {{"replay", part.replay}, {"knock_out", part.knock_out},
                                   {"norm_matched", part.norm_matched}, {"shapley", part.shapley},
                                   {"norm", part.norm}};
  }
  return {{"parts", parts}, {"full", figures.full}, {"none", figures.none}, {"random", figures.random},
          {"top_replay", figures.top_replay}, {"top_knock_out", figures.top_knock_out}};
}

Json attribute_batch(const BatchContext& context, const AuditSpec& spec, const Store& store, int64_t batch) {
  const RowSpec row = spec.headline();
  if (row.scope == RowScope::kShared) return nullptr;
  const at::Tensor delta = load_delta(store, row.name(), batch);
  if (!delta.defined() || row.threat_model != ThreatModel::kAfterClamp) return nullptr;
  const Problem problem = context.problem(context.recovery_contests(Objective::kLogitDiff), row.threat_model,
                                          Objective::kLogitDiff, row.budget);
  const PathAttribution paths =
      attribute_path(problem, delta.to(problem.budget.device()), {.seed = spec.seed});
  Json json = to_json(paths);
  json["top_features"] = paths.top_features;
  return json;
}

Json summarise_paths(const Store& store, int64_t n_batches) {
  Pool pool;
  for (int64_t batch = 0; batch < n_batches; ++batch) {
    const auto text = store.artefact(concat("path/", batch));
    if (text) pour(parse_json(*text, "run.sqlite"), "", pool);
  }
  if (pool["full"].empty()) return Json::object();
  const double gain = total(pool["full"]) - total(pool["none"]);
  Json parts = Json::array();
  std::string route;
  double largest = 0;
  for (const Part part : kParts) {
    const std::string name = to_string(part);
    const std::string place = "parts/" + name + "/";
    const std::vector<double>& norm = pool[place + "norm"];
    const double share = gain != 0 ? total(pool[place + "shapley"]) / gain : 0;
    if (share > largest) {
      largest = share;
      route = name;
    }
    parts.push_back({{"name", name},
                     {"replay", count(pool, place + "replay")},
                     {"knock_out", count(pool, place + "knock_out")},
                     {"norm_matched_replay", count(pool, place + "norm_matched")},
                     {"shapley_share", share},
                     {"norm_mean", total(norm) / static_cast<double>(norm.size())}});
  }
  return {{"main_route", route},
          {"main_route_share", largest},
          {"full", count(pool, "full")},
          {"random_same_norm", count(pool, "random")},
          {"top_other_features_replay", count(pool, "top_replay")},
          {"top_other_features_knock_out", count(pool, "top_knock_out")},
          {"top_other_features", pool["top_features"]},
          {"parts", parts},
          {"note", "the share of clamped features is zero by construction under encoder and encoder_decoder"}};
}

}  // namespace rebound
