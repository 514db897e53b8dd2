#include "rebound/audit/path_report.h"

#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "rebound/recover/path_attribution.h"

namespace rebound {
namespace {

const char* const kLists[] = {"replay", "knock_out", "norm_matched", "shapley", "norm"};

// Numbers of all batches under one key, for example "parts/other features/replay".
using Pool = std::map<std::string, std::vector<double>>;

void pour(const Json& json, const std::string& key, Pool& pool) {
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) pour(value, key.empty() ? name : key + "/" + name, pool);
  } else if (json.is_array()) {
    for (const Json& value : json) pool[key].push_back(value.is_number() ? value.get<double>() : 0.0);
  }
}

Json count(const std::vector<double>& scores) {
  const auto won = std::count_if(scores.begin(), scores.end(), [](double score) { return score > 0; });
  return {{"recovered", won}, {"n", scores.size()}};
}

double total(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

Json attribute_batch(const BatchContext& context, const AuditSpec& spec, const Store& store, int64_t batch) {
  const RowSpec row = spec.headline();
  if (row.scope == RowScope::kShared) return nullptr;
  const at::Tensor delta = load_delta(store, row.name(), batch);
  if (!delta.defined() || row.threat_model != ThreatModel::kAfterClamp) return nullptr;
  const Problem problem = context.problem(context.recovery_contests(Objective::kLogitDiff), row.threat_model,
                                          Objective::kLogitDiff, row.budget);
  const PathAttribution paths = attribute_path(problem, delta, {.seed = spec.seed});
  Json parts;
  for (size_t i = 0; i < kParts.size(); ++i) {
    const PartFigures& part = paths.parts[i];
    parts[to_string(kParts[i])] = {{"replay", part.replay}, {"knock_out", part.knock_out},
                                   {"norm_matched", part.norm_matched}, {"shapley", part.shapley},
                                   {"norm", part.norm}};
  }
  return {{"parts", parts}, {"full", paths.full}, {"none", paths.none}, {"random", paths.random},
          {"top_replay", paths.top_replay}, {"top_knock_out", paths.top_knock_out},
          {"top_features", paths.top_features}};
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
    std::map<std::string, std::vector<double>> of;
    for (const char* list : kLists) of[list] = pool["parts/" + name + "/" + list];
    const double share = gain != 0 ? total(of["shapley"]) / gain : 0;
    if (share > largest) {
      largest = share;
      route = name;
    }
    parts.push_back({{"name", name},
                     {"replay", count(of["replay"])},
                     {"knock_out", count(of["knock_out"])},
                     {"norm_matched_replay", count(of["norm_matched"])},
                     {"shapley_share", share},
                     {"norm_mean", total(of["norm"]) / static_cast<double>(of["norm"].size())}});
  }
  return {{"main_route", route},
          {"main_route_share", largest},
          {"full", count(pool["full"])},
          {"random_same_norm", count(pool["random"])},
          {"top_other_features_replay", count(pool["top_replay"])},
          {"top_other_features_knock_out", count(pool["top_knock_out"])},
          {"top_other_features", pool["top_features"]},
          {"parts", parts},
          {"note", "the share of clamped features is zero by construction under encoder and encoder_decoder"}};
}

}  // namespace rebound
