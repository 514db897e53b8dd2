#include "rebound/serve/start_audit.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>

#include "rebound/audit/answer_spec.h"
#include "rebound/audit/spec.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr size_t kLongestRunName = 64;
constexpr int64_t kMostPrompts = 10'000;

std::string listed_behaviours() {
  std::string list;
  for (const std::string& name : audit_behaviours()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string path_of_sae(const AuditMaterial& material, int64_t sae) {
  const auto n = static_cast<int64_t>(material.sae_paths.size());
  require<ConfigError>(sae >= 0 && sae < n,
                       "clamps.sae: got ",
                       sae,
                       ", expected a place in the list of ",
                       n,
                       " SAEs");
  return material.sae_paths[static_cast<size_t>(sae)];
}

void require_same_rule(const BenchClamp& a, const BenchClamp& b) {
  require<ConfigError>(a.kind == b.kind && a.when == b.when,
                       "clamps: got ",
                       to_string(a.kind),
                       " (",
                       to_string(a.when),
                       ") and ",
                       to_string(b.kind),
                       " (",
                       to_string(b.when),
                       ") at one SAE, expected one rule for all of its features");
}

// One SAE, one edit, one value.
void put_score_defence(AuditSpec& spec,
                       const AuditRequest& request,
                       const AuditMaterial& material) {
  const BenchClamp& first = request.clamps.front();
  for (const BenchClamp& clamp : request.clamps) {
    require<ConfigError>(clamp.sae == first.sae,
                         "clamps: got several SAEs with ",
                         request.behaviour,
                         ", expected features of one (refusal takes several)");
    require_same_rule(first, clamp);
    require<ConfigError>(clamp.value == first.value,
                         "clamps: got values ",
                         first.value,
                         " and ",
                         clamp.value,
                         " with ",
                         request.behaviour,
                         ", expected one value for all features");
    spec.defence.features.push_back(clamp.feature);
  }
  std::sort(spec.defence.features.begin(), spec.defence.features.end());
  spec.defence.edit.kind = first.kind;
  spec.defence.edit.when = first.when;
  spec.defence.edit.value = first.value;
  spec.defence.is_value_given = true;
  spec.sae = path_of_sae(material, first.sae);
}

Json edits_of(const AuditRequest& request, const AuditMaterial& material) {
  std::map<int64_t, std::vector<BenchClamp>> by_sae;
  for (const BenchClamp& clamp : request.clamps) by_sae[clamp.sae].push_back(clamp);
  Json edits = Json::array();
  for (const auto& [sae, clamps] : by_sae) {
    Json features = Json::array(), values = Json::array();
    for (const BenchClamp& clamp : clamps) {
      require_same_rule(clamps.front(), clamp);
      features.push_back(clamp.feature);
      values.push_back(clamp.value);
    }
    Json edit = {{"sae", path_of_sae(material, sae)},
                 {"features", std::move(features)},
                 {"edit",
                  {{"kind", to_string(clamps.front().kind)},
                   {"when", to_string(clamps.front().when)},
                   {"value", std::move(values)}}},
                 {"positions", "all"}};
    if (const auto norm = material.sink_norm ? material.sink_norm(sae) : std::nullopt)
      edit["sink_norm"] = *norm;
    edits.push_back(std::move(edit));
  }
  return edits;
}

Json answer_spec_json(const AuditRequest& request, const AuditMaterial& material) {
  AnswerAuditSpec spec = default_answer_spec(request.behaviour, parse_preset(request.preset));
  spec.model = material.model;
  if (request.prompts > 0) spec.behaviour.n_test = request.prompts;
  if (request.has_clamps) {
    spec.defence.kind = "edits";
    spec.defence.edits = edits_of(request, material);
  }
  return to_json(read_answer_spec(to_json(spec), "spec"));
}

Json score_spec_json(const AuditRequest& request, const AuditMaterial& material) {
  AuditSpec spec = default_spec(request.behaviour);
  const bool is_toy = request.behaviour.rfind("toy-", 0) == 0;
  require<ConfigError>(!is_toy || !request.has_clamps,
                       "clamps: got them with ",
                       request.behaviour,
                       ", expected none: a toy brings its own model and defence");
  require<ConfigError>(request.prompts == 0 || request.behaviour == "ioi",
                       "prompts: got ",
                       request.prompts,
                       " with ",
                       request.behaviour,
                       ", expected none: it brings its prompts");
  if (request.prompts > 0) spec.behaviour.n_test = request.prompts;
  if (!is_toy) {
    spec.model = material.model;
    if (!material.sae_paths.empty()) spec.sae = material.sae_paths.front();
  }
  if (request.has_clamps) put_score_defence(spec, request, material);
  return to_json(read_spec(to_json(spec), "spec"));
}

}  // namespace

const std::vector<std::string>& audit_behaviours() {
  static const std::vector<std::string> names = {"ioi",
                                                 "facts",
                                                 "mcq",
                                                 "refusal",
                                                 "refusal-benign",
                                                 "toy-leaky",
                                                 "toy-feature-routed",
                                                 "toy-sealed"};
  return names;
}

void check_run_name(const std::string& name) {
  const bool is_good = !name.empty() && name.size() <= kLongestRunName &&
                       is_letter_or_digit(name.front()) &&
                       std::all_of(name.begin(), name.end(), [](char c) {
                         return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
                       });
  require<ConfigError>(
      is_good,
      "name: got \"",
      name.substr(0, kLongestRunName),
      "\", expected at most 64 letters, digits, \".\", \"_\" or \"-\", the first a "
      "letter or digit");
}

std::string run_name_of(const std::string& behaviour) {
  char stamp[32];
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  localtime_r(&now, &parts);
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &parts);
  return behaviour + "-" + stamp;
}

AuditRequest read_audit_request(const Json& json, const BenchLimits& limits) {
  ObjectReader in(json, "request");
  AuditRequest request;
  request.behaviour = in.get<std::string>("behaviour");
  request.name = in.get<std::string>("name", "");
  request.preset = in.get("preset", request.preset);
  request.prompts = in.get("prompts", request.prompts);
  const std::string defence = in.get<std::string>("defence", "own");
  request.clamps = read_bench_clamps(in.get<Json>("clamps", Json::array()), limits);
  in.finish();
  const std::vector<std::string>& known = audit_behaviours();
  require<ConfigError>(std::find(known.begin(), known.end(), request.behaviour) != known.end(),
                       "behaviour: got \"",
                       request.behaviour,
                       "\", expected one of: ",
                       listed_behaviours());
  require<ConfigError>(defence == "own" || defence == "clamps",
                       "defence: got \"",
                       defence,
                       "\", expected own or clamps");
  require<ConfigError>(request.prompts >= 0 && request.prompts <= kMostPrompts,
                       "prompts: got ",
                       request.prompts,
                       ", expected 0 (the preset's) to ",
                       kMostPrompts);
  request.has_clamps = defence == "clamps";
  require<ConfigError>(!request.has_clamps || !request.clamps.empty(),
                       "clamps: got none, expected at least one (or the behaviour's own defence)");
  if (!request.name.empty()) check_run_name(request.name);
  return request;
}

Json audit_spec_of(const AuditRequest& request, const AuditMaterial& material) {
  return is_answer_behaviour(request.behaviour) ? answer_spec_json(request, material)
                                                : score_spec_json(request, material);
}

}  // namespace rebound
