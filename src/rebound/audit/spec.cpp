#include "rebound/audit/spec.h"

#include <algorithm>
#include <set>

#include "rebound/audit/row_spec.h"
#include "rebound/base/error.h"
#include "rebound/model/transformer.h"

namespace rebound {
namespace {

const std::set<std::string>& behaviour_kinds() {
  static const std::set<std::string> kinds = {"ioi", "facts", "mcq", "toy-leaky", "toy-feature-routed", "toy-sealed"};
  return kinds;
}

std::vector<int64_t> read_features(const Json& json, const std::string& where) {
  const bool is_list =
      json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& id) {
        return id.is_number_integer() && id >= 0;
      });
  require<ConfigError>(is_list, where, ": got ", json.dump().substr(0, 80), ", expected a list of integers >= 0");
  return json.get<std::vector<int64_t>>();
}

BehaviourSpec read_behaviour(const Json& json, const std::string& where, BehaviourSpec spec) {
  ObjectReader in(json, where);
  spec.kind = in.get("kind", spec.kind);
  spec.prompts = in.get("prompts", spec.prompts);
  spec.train_prompts = in.get("train_prompts", spec.train_prompts);
  spec.templates = in.get("templates", spec.templates);
  spec.n_train = in.get("n_train", spec.n_train);
  spec.n_test = in.get("n_test", spec.n_test);
  spec.forget = in.get("forget", spec.forget);
  spec.retain = in.get("retain", spec.retain);
  spec.questions = in.get("questions", spec.questions);
  spec.n_retain = in.get("n_retain", spec.n_retain);
  spec.folds = in.get("folds", spec.folds);
  spec.letters = in.get("letters", spec.letters);
  in.finish();
  return spec;
}

DefenceSpec read_defence(const Json& json, const std::string& where, DefenceSpec spec) {
  ObjectReader in(json, where);
  if (in.has("features")) spec.features = read_features(in.at("features"), where + ".features");
  else in.get<Json>("features", Json());
  if (in.has("edit")) {
    ObjectReader edit(in.at("edit"), where + ".edit");
    spec.edit.kind = parse_edit_kind(edit.get<std::string>("kind", "set"));
    spec.edit.when = parse_edit_when(edit.get<std::string>("when", "active_only"));
    spec.is_value_given = edit.has("value");
    spec.edit.value = edit.get("value", spec.edit.value);
    edit.finish();
  } else {
    in.get<Json>("edit", Json());
  }
  if (in.has("positions")) spec.edit.positions = read_positions(in.at("positions"), where + ".positions");
  else in.get<Json>("positions", Json());
  if (in.has("choice")) {
    ObjectReader choice(in.at("choice"), where + ".choice");
    spec.choice.rule = choice.get("rule", spec.choice.rule);
    spec.choice.retain_threshold = choice.get("retain_threshold", spec.choice.retain_threshold);
    spec.choice.features = choice.get("features", spec.choice.features);
    spec.choice.values = choice.get("values", spec.choice.values);
    spec.choice.min_flip_rate = choice.get("min_flip_rate", spec.choice.min_flip_rate);
    choice.finish();
  } else {
    in.get<Json>("choice", Json());
  }
  in.finish();
  return spec;
}

ControlSpec read_controls(const Json& json, const std::string& where, ControlSpec spec) {
  if (json.is_boolean()) {
    spec.is_on = json.get<bool>();
    return spec;
  }
  ObjectReader in(json, where);
  spec.is_on = in.get("on", true);
  spec.random_draws = in.get("random_draws", spec.random_draws);
  spec.inject_targets = in.get("inject_targets", spec.inject_targets);
  spec.shared_budgets = in.get("shared_budgets", spec.shared_budgets);
  in.finish();
  return spec;
}

VerdictSpec read_verdict(const Json& json, const std::string& where, VerdictSpec spec) {
  ObjectReader in(json, where);
  spec.min_valid = in.get("min_valid", spec.min_valid);
  spec.min_valid_for_bottleneck = in.get("min_valid_for_bottleneck", spec.min_valid_for_bottleneck);
  spec.bottleneck_rate = in.get("bottleneck_rate", spec.bottleneck_rate);
  in.finish();
  return spec;
}

}  // namespace

const RowSpec& AuditSpec::headline() const {
  const RowSpec* last = nullptr;
  for (const RowSpec& row : rows) {
    if (row.kind != RowKind::kAttack || row.scope != RowScope::kPerPrompt ||
        row.threat_model != ThreatModel::kAfterClamp) {
      continue;
    }
    if (row.constraint == "encoder_decoder" && row.objective == Objective::kLogitDiff) return row;
    last = &row;
  }
  return last ? *last : rows.front();
}

void AuditSpec::validate() const {
  require<ConfigError>(behaviour_kinds().count(behaviour.kind) > 0, "behaviour.kind: got \"",
                       behaviour.kind, "\", expected ioi, facts, mcq, toy-leaky, toy-feature-routed or toy-sealed");
  require<ConfigError>(!rows.empty(), "rows: got none, expected at least one");
  require<ConfigError>(batch > 0, "batch: got ", batch, ", expected > 0");
  dtype_named(dtype);  // for its check
  require<ConfigError>(controls.random_draws >= 0 && controls.inject_targets >= 0,
                       "controls: got a negative count, expected >= 0");
  require<ConfigError>(!defence.choice.values.empty() && defence.choice.features > 0,
                       "defence.choice: got no values or no features, expected at least one");
  require<ConfigError>(defence.choice.rule == "attribution" || (defence.choice.rule == "firing_rates" && has_folds()),
                       "defence.choice.rule: got \"", defence.choice.rule,
                       "\", expected attribution, or for facts firing_rates");
  require<ConfigError>(!sweep || has_folds(), "sweep: got it with ", behaviour.kind, ", expected it with facts or mcq");
  require<ConfigError>(behaviour.letters >= 0, "behaviour.letters: got ", behaviour.letters, ", expected >= 0");
  require<ConfigError>(!has_folds() || (behaviour.prompts.empty() && behaviour.train_prompts.empty()),
                       "behaviour.prompts: got them with facts, expected behaviour.forget and behaviour.retain");
  for (const double budget : controls.shared_budgets) {
    require<ConfigError>(budget > 0, "controls.shared_budgets: got ", budget, ", expected > 0");
  }
  require<ConfigError>(verdict.min_valid > 0, "verdict.min_valid: got ", verdict.min_valid, ", expected > 0");
  require<ConfigError>(verdict.bottleneck_rate >= 0 && verdict.bottleneck_rate <= 1,
                       "verdict.bottleneck_rate: got ", verdict.bottleneck_rate, ", expected 0..1");
  std::set<std::string> names;
  for (const RowSpec& row : rows) {
    const std::string name = row.name();
    require<ConfigError>(names.insert(name).second, "rows: got \"", name, "\" twice, expected different rows");
    require<ConfigError>(row.budget > 0, "rows.budget: got ", row.budget, ", expected > 0");
    require<ConfigError>(row.steps >= 0, "rows.steps: got ", row.steps, ", expected >= 0");
    require<ConfigError>(row.lr > 0, "rows.lr: got ", row.lr, ", expected > 0");
    require<ConfigError>(row.scope == RowScope::kPerPrompt || perturb.kind == PositionSet::Kind::kAnswer,
                         "rows.scope: got \"shared\" with perturbed positions ", rebound::to_json(perturb).dump(),
                         ", expected \"answer\" (one shared vector per prompt)");
    require<ConfigError>(row.scope == RowScope::kPerPrompt || row.kind == RowKind::kAttack,
                         "rows.scope: got \"shared\" with minimal_budget, expected per_prompt");
  }
}

AuditSpec default_spec(const std::string& behaviour_kind) {
  AuditSpec spec;
  spec.behaviour.kind = behaviour_kind;
  spec.rows = spec.has_folds() ? fact_rows(20) : default_rows(20);
  if (spec.has_folds()) {
    spec.defence.choice = {.features = 16, .values = {0, -5, -20}, .min_flip_rate = 0.9};
    spec.controls = {.random_draws = 10, .inject_targets = 1, .shared_budgets = {5, 20}};
  }
  return spec;
}

AuditSpec read_spec(const Json& json, const std::string& where) {
  ObjectReader in(json, where);
  std::string kind = "ioi";
  if (in.has("behaviour")) kind = ObjectReader(in.at("behaviour"), where + ".behaviour").get("kind", kind);
  AuditSpec spec = default_spec(kind);
  spec.model = in.get("model", spec.model);
  spec.sae = in.get("sae", spec.sae);
  spec.behaviour = in.has("behaviour") ? read_behaviour(in.at("behaviour"), where + ".behaviour", spec.behaviour)
                                       : spec.behaviour;
  const std::string hook = in.get<std::string>("hook", "");
  if (!hook.empty()) with_context(where + ".hook", [&] { return parse_site(hook); });
  if (in.has("defence")) spec.defence = read_defence(in.at("defence"), where + ".defence", spec.defence);
  if (in.has("perturb")) {
    ObjectReader perturb(in.at("perturb"), where + ".perturb");
    if (perturb.has("positions")) {
      spec.perturb = read_positions(perturb.at("positions"), where + ".perturb.positions");
    }
    perturb.get<Json>("positions", Json());
    perturb.finish();
  }
  if (in.has("rows")) {
    spec.rows.clear();
    const Json& rows = in.at("rows");
    require<ConfigError>(rows.is_array(), where, ".rows: got ", rows.type_name(), ", expected a list");
    for (size_t i = 0; i < rows.size(); ++i) spec.rows.push_back(read_row(rows[i], concat(where, ".rows[", i, "]")));
  }
  if (in.has("controls")) spec.controls = read_controls(in.at("controls"), where + ".controls", spec.controls);
  if (in.has("verdict")) spec.verdict = read_verdict(in.at("verdict"), where + ".verdict", spec.verdict);
  for (const char* key : {"defence", "perturb", "rows", "controls", "verdict", "behaviour"}) in.get<Json>(key, Json());
  spec.batch = in.get("batch", spec.batch);
  const int64_t seed = in.get<int64_t>("seed", 0);
  require<ConfigError>(seed >= 0, where, ".seed: got ", seed, ", expected >= 0");
  spec.seed = static_cast<uint64_t>(seed);
  spec.dtype = in.get("dtype", spec.dtype);
  spec.device = in.get("device", spec.device);
  spec.trace = in.get("trace", spec.trace);
  spec.sweep = in.get("sweep", spec.sweep);
  in.finish();
  spec.hook = hook;
  spec.validate();
  return spec;
}

namespace {

Json behaviour_json(const AuditSpec& spec) {
  const BehaviourSpec& b = spec.behaviour;
  if (spec.has_folds()) {
    Json json = {{"kind", b.kind}, {"retain", b.retain}, {"n_retain", b.n_retain}, {"folds", b.folds}};
    if (b.kind == "mcq") json.update({{"questions", b.questions}, {"letters", b.letters}});
    else json["forget"] = b.forget;
    return json;
  }
  return {{"kind", b.kind}, {"prompts", b.prompts}, {"train_prompts", b.train_prompts},
          {"templates", b.templates}, {"n_train", b.n_train}, {"n_test", b.n_test}};
}

}  // namespace

Json to_json(const AuditSpec& spec) {
  Json rows = Json::array();
  for (const RowSpec& row : spec.rows) rows.push_back(row_json(row));
  const DefenceSpec& d = spec.defence;
  Json edit = {{"kind", to_string(d.edit.kind)}, {"when", to_string(d.edit.when)}};
  edit["value"] = d.is_value_given ? Json(d.edit.value) : Json();
  Json json = {
          {"model", spec.model},
          {"sae", spec.sae},
          {"hook", spec.hook},
          {"behaviour", behaviour_json(spec)},
          {"defence",
           {{"features", d.features}, {"edit", edit}, {"positions", to_json(d.edit.positions)},
            {"choice", {{"rule", d.choice.rule}, {"features", d.choice.features}, {"values", d.choice.values},
                        {"min_flip_rate", d.choice.min_flip_rate},
                        {"retain_threshold", d.choice.retain_threshold}}}}},
          {"perturb", {{"positions", to_json(spec.perturb)}}},
          {"rows", rows},
          {"controls",
           {{"on", spec.controls.is_on}, {"random_draws", spec.controls.random_draws},
            {"inject_targets", spec.controls.inject_targets}, {"shared_budgets", spec.controls.shared_budgets}}},
          {"verdict",
           {{"min_valid", spec.verdict.min_valid},
            {"min_valid_for_bottleneck", spec.verdict.min_valid_for_bottleneck},
            {"bottleneck_rate", spec.verdict.bottleneck_rate}}},
          {"batch", spec.batch},
          {"seed", spec.seed},
          {"dtype", spec.dtype},
          {"trace", spec.trace},
          {"sweep", spec.sweep}};
  if (spec.device != "cpu") json["device"] = spec.device;
  return json;
}

}  // namespace rebound
