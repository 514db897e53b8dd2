#include "rebound/audit/summary.h"

#include <array>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "rebound/audit/result_figures.h"

namespace rebound {
namespace {

template <class T>
using RowField = std::pair<const char*, T RowSummary::*>;

constexpr std::array<RowField<std::string>, 5> kTexts = {
    {{"name", &RowSummary::name},
     {"objective", &RowSummary::objective},
     {"constraint", &RowSummary::constraint},
     {"threat_model", &RowSummary::threat_model},
     {"scope", &RowSummary::scope}}};
constexpr std::array<RowField<std::optional<std::string>>, 2> kOptionalTexts = {
    {{"control", &RowSummary::control}, {"target", &RowSummary::target}}};
constexpr std::array<RowField<int64_t>, 2> kCounts = {
    {{"n_valid", &RowSummary::n_valid}, {"recovered", &RowSummary::recovered}}};
constexpr std::array<RowField<double>, 14> kFigures = {
    {{"budget", &RowSummary::budget},
     {"rate", &RowSummary::rate},
     {"ci_low", &RowSummary::ci_low},
     {"ci_high", &RowSummary::ci_high},
     {"drift_pre_l2", &RowSummary::drift_pre_l2},
     {"drift_pre_rel", &RowSummary::drift_pre_rel},
     {"drift_post_l2", &RowSummary::drift_post_l2},
     {"drift_post_rel", &RowSummary::drift_post_rel},
     {"reactivated_fraction", &RowSummary::reactivated_fraction},
     {"zero_reactivation", &RowSummary::zero_reactivation},
     {"norm_mean", &RowSummary::norm_mean},
     {"norm_rel_mean", &RowSummary::norm_rel_mean},
     {"kl_to_base", &RowSummary::kl_to_base},
     {"seconds_per_prompt", &RowSummary::seconds_per_prompt}}};

const Json& field(const Json& json, const std::string& key, const std::string& where) {
  require<DataError>(json.is_object(), where, ": got ", json.type_name(), ", expected an object");
  const auto found = json.find(key);
  require<DataError>(found != json.end(), where, ".", key, ": missing");
  return *found;
}

template <class T>
T read(const Json& json, const std::string& key, const std::string& where) {
  const Json& value = field(json, key, where);
  const bool is_right = std::is_same_v<T, std::string> ? value.is_string()
                        : std::is_same_v<T, double>    ? value.is_number() || value.is_null()
                                                       : value.is_number_integer();
  require<DataError>(is_right,
                     where,
                     ".",
                     key,
                     ": got ",
                     value.dump().substr(0, 60),
                     ", expected ",
                     std::is_same_v<T, std::string> ? "a string" : "a number");
  if constexpr (std::is_same_v<T, double>) return value.is_null() ? kNotMeasured : value.get<T>();
  return value.get<T>();
}

std::optional<std::string> read_optional_text(const Json& json,
                                              const std::string& key,
                                              const std::string& where) {
  if (!json.contains(key) || json.at(key).is_null()) return std::nullopt;
  return read<std::string>(json, key, where);
}

}  // namespace

const std::vector<std::string> kControls = {
    "clamp_only", "random", "projected_undo", "unclamped", "random_features", "inject", "power"};

Json to_json(const RowSummary& row) {
  Json json = row.extra;
  for (const auto& [key, member] : kTexts) json[key] = row.*member;
  for (const auto& [key, member] : kOptionalTexts) {
    json[key] = row.*member ? Json(*(row.*member)) : Json(nullptr);
  }
  for (const auto& [key, member] : kCounts) json[key] = row.*member;
  for (const auto& [key, member] : kFigures) json[key] = finite_or_null(row.*member);
  return json;
}

RowSummary row_from_json(const Json& json, const std::string& where) {
  RowSummary row;
  row.extra = json;
  const auto take = [&](const char* key) { row.extra.erase(key); };
  for (const auto& [key, member] : kTexts)
    row.*member = read<std::string>(json, key, where), take(key);
  for (const auto& [key, member] : kOptionalTexts) {
    row.*member = read_optional_text(json, key, where);
    take(key);
  }
  for (const auto& [key, member] : kCounts)
    row.*member = read<int64_t>(json, key, where), take(key);
  for (const auto& [key, member] : kFigures)
    row.*member = read<double>(json, key, where), take(key);
  return row;
}

Json AuditSummary::to_json() const {
  Json row_array = Json::array();
  for (const RowSummary& row : rows) row_array.push_back(rebound::to_json(row));
  Json json = {{"behaviour", behaviour},
          {"model", model},
          {"sae", sae},
          {"defence", defence},
          {"n_prompts", n_prompts},
          {"n_valid", n_valid},
          {"verdict", verdict},
          {"verdict_text", verdict_text},
          {"rows", row_array},
          {"controls", controls},
          {"attribution", attribution},
          {"headline", headline},
          {"environment", environment}};
  json.update(extra);
  return json;
}

AuditSummary AuditSummary::from_json(const Json& json) {
  const std::string where = "summary.json";
  AuditSummary summary;
  summary.behaviour = read<std::string>(json, "behaviour", where);
  summary.model = read<std::string>(json, "model", where);
  summary.sae = read<std::string>(json, "sae", where);
  summary.defence = field(json, "defence", where);
  summary.n_prompts = read<int64_t>(json, "n_prompts", where);
  summary.n_valid = read<int64_t>(json, "n_valid", where);
  summary.verdict = read<std::string>(json, "verdict", where);
  summary.verdict_text = read_optional_text(json, "verdict_text", where).value_or("");
  const Json& rows = field(json, "rows", where);
  require<DataError>(rows.is_array(), where, ".rows: got ", rows.type_name(), ", expected a list");
  for (size_t i = 0; i < rows.size(); ++i) {
    summary.rows.push_back(row_from_json(rows[i], concat(where, ".rows[", i, "]")));
  }
  summary.controls = field(json, "controls", where);
  summary.attribution = field(json, "attribution", where);
  summary.headline = json.value("headline", Json::object());
  summary.environment = field(json, "environment", where);
  for (const auto& [key, value] : json.items()) {
    static const std::set<std::string> known = {"behaviour", "model", "sae", "defence", "n_prompts", "n_valid", "verdict",
                                                "verdict_text", "rows", "controls", "attribution", "headline",
                                                "environment"};
    if (!known.count(key)) summary.extra[key] = value;
  }
  return summary;
}

}  // namespace rebound
