#include "rebound/audit/answer_spec.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "rebound/audit/read_field.h"
#include "rebound/base/error.h"
#include "rebound/model/transformer.h"

namespace rebound {
namespace {

const std::vector<double> kDirectionStrengths = {0.15, 0.2, 0.225, 0.25, 0.3};

AnswerBehaviourSpec read_behaviour(const Json& json,
                                   const std::string& where,
                                   AnswerBehaviourSpec spec) {
  ObjectReader in(json, where);
  read_field(in, "kind", spec.kind);
  read_field(in, "requests", spec.requests);
  read_field(in, "n_train", spec.n_train);
  read_field(in, "n_test", spec.n_test);
  read_field(in, "ids", spec.ids);
  read_field(in, "manifest", spec.manifest);
  in.finish();
  return spec;
}

AnswerDefenceSpec read_defence(const Json& json, const std::string& where, AnswerDefenceSpec spec) {
  ObjectReader in(json, where);
  read_field(in, "kind", spec.kind);
  if (spec.kind == "directions" && !in.has("strengths")) spec.strengths = kDirectionStrengths;
  read_field(in, "layers", spec.layers);
  read_field(in, "saes", spec.saes);
  read_field(in, "features", spec.features);
  read_field(in, "edits", spec.edits);
  read_field(in, "strengths", spec.strengths);
  const Json strength = in.get<Json>("strength", Json());
  require<ConfigError>(strength.is_null() || strength.is_number(),
                       where,
                       ".strength: got ",
                       strength.dump(),
                       ", expected a number");
  if (strength.is_number()) spec.strength = strength.get<double>();
  read_field(in, "max_degenerate", spec.max_degenerate);
  read_field(in, "n_safe", spec.n_safe);
  in.finish();
  return spec;
}

AnswerControlSpec read_controls(const Json& json,
                                const std::string& where,
                                AnswerControlSpec spec) {
  if (json.is_boolean()) {
    spec.is_on = json.get<bool>();
    return spec;
  }
  ObjectReader in(json, where);
  spec.is_on = in.get("on", true);
  read_field(in, "random_draws", spec.random_draws);
  read_field(in, "inject_answers", spec.inject_answers);
  in.finish();
  return spec;
}

AnswerAttributionSpec read_attribution(const Json& json, const std::string& where) {
  AnswerAttributionSpec spec;
  if (json.is_boolean()) {
    spec.is_on = json.get<bool>();
    return spec;
  }
  ObjectReader in(json, where);
  spec.is_on = in.get("on", true);
  read_field(in, "saes", spec.saes);
  read_field(in, "top_k", spec.top_k);
  in.finish();
  return spec;
}

// Soft suffixes over the weights of the drift, and a hard one.
void add_input_rows(Preset preset, std::vector<AnswerRowSpec>& rows) {
  const bool is_quick = preset == Preset::kQuick;
  AnswerRowSpec soft = AnswerRowSpec::of("soft_suffix"), hard = AnswerRowSpec::of("gcg");
  soft.suffix.prompts = is_quick ? 4 : 24;
  if (is_quick) soft.steps = 24;
  for (const double weight : {0.0, 1.0, 10.0}) {
    soft.suffix.obfuscation = weight;
    rows.push_back(soft);
  }
  hard.suffix.prompts = is_quick ? 4 : 24;
  if (is_quick) {
    hard.steps = 10;
    hard.suffix.search_width = 16;
  }
  rows.push_back(hard);
}

std::vector<AnswerRowSpec> rows_of(Preset preset) {
  const auto row = [](const char* constraint, double budget = 40) {
    AnswerRowSpec spec = AnswerRowSpec::of(constraint);
    spec.budget = budget;
    return spec;
  };
  std::vector<AnswerRowSpec> rows = {
      row("forward_projection"),
      row("none"),
      row("first_site"),
      AnswerRowSpec::of("forward_projection", RowKind::kMinimalBudget)};
  if (preset == Preset::kFull) {
    rows.push_back(row("forward_projection_decoder"));
    rows.push_back(row("penalty"));
    rows.push_back(row("jacobian"));
    rows.back().steps = 20;
    rows.push_back(row("jacobian_sampled"));
    rows.back().steps = 80;
    rows.back().lr = 0.03;
    for (const double budget : {2.0, 5.0, 10.0, 20.0}) {
      rows.push_back(row("forward_projection", budget));
    }
  }
  if (preset == Preset::kQuick) {
    for (AnswerRowSpec& each : rows) {
      if (each.kind == RowKind::kAttack) each.steps = 40;
    }
  }
  add_input_rows(preset, rows);
  return rows;
}

Json list_of_names() { return {"refusal", "refusal-benign"}; }

}  // namespace

bool is_answer_behaviour(const std::string& kind) {
  return kind == "refusal" || kind == "refusal-benign";
}

Preset parse_preset(const std::string& text) {
  if (text == "quick") return Preset::kQuick;
  if (text == "full") return Preset::kFull;
  throw ConfigError(concat("--preset: got \"", text, "\", expected quick or full"));
}

const AnswerRowSpec& AnswerAuditSpec::headline() const {
  const auto is_attack = [](const AnswerRowSpec& row) { return row.kind == RowKind::kAttack; };
  const auto is_inside = [&](const AnswerRowSpec& row) {
    return is_attack(row) && !row.is_at_input();
  };
  for (const AnswerRowSpec& row : rows) {
    if (row.constraint == "forward_projection" && is_attack(row)) return row;
  }
  const auto inside = std::find_if(rows.rbegin(), rows.rend(), is_inside);
  if (inside != rows.rend()) return *inside;
  const auto last = std::find_if(rows.rbegin(), rows.rend(), is_attack);
  return last == rows.rend() ? rows.back() : *last;
}

void AnswerAuditSpec::validate() const {
  require<ConfigError>(is_answer_behaviour(behaviour.kind),
                       "behaviour.kind: got \"",
                       behaviour.kind,
                       "\", expected one of ",
                       list_of_names().dump());
  require<ConfigError>(!behaviour.requests.empty(),
                       "behaviour.requests: got none, expected at least one set");
  require<ConfigError>(behaviour.n_train > 0 && behaviour.n_test > 0,
                       "behaviour: got n_train or n_test < 1, expected at least 1");
  require<ConfigError>(
      defence.kind == "directions" || defence.kind == "features" || defence.kind == "edits",
      "defence.kind: got \"",
      defence.kind,
      "\", expected directions, features or edits");
  require<ConfigError>(defence.kind != "directions" || !defence.layers.empty(),
                       "defence.layers: got none, expected at least one");
  require<ConfigError>(defence.kind != "features" || !defence.saes.empty(),
                       "defence.saes: got none, expected at least one SAE folder");
  require<ConfigError>(defence.kind != "edits" || !defence.edits.empty(),
                       "defence.edits: got none, expected at least one clamp");
  require<ConfigError>(defence.strength.has_value() || !defence.strengths.empty(),
                       "defence.strengths: got none, expected at least one");
  require<ConfigError>(
      defence.features > 0, "defence.features: got ", defence.features, ", expected > 0");
  require<ConfigError>(target_tokens > 0 && max_new_tokens >= target_tokens,
                       "target_tokens: got ",
                       target_tokens,
                       " with max_new_tokens ",
                       max_new_tokens,
                       ", expected 1..max_new_tokens");
  require<ConfigError>(
      attribution.top_k > 0, "attribution.top_k: got ", attribution.top_k, ", expected > 0");
  require<ConfigError>(feature_counts.empty() || defence.kind == "features",
                       "feature_counts: got some with a defence of ",
                       defence.kind,
                       ", expected features");
  for (const int64_t count : feature_counts) {
    require<ConfigError>(count > 0, "feature_counts: got ", count, ", expected > 0");
  }
  require<ConfigError>(batch > 0, "batch: got ", batch, ", expected > 0");
  dtype_named(dtype);  // for its check
  require<ConfigError>(!rows.empty(), "rows: got none, expected at least one");
  std::set<std::string> names;
  for (const AnswerRowSpec& row : rows) {
    require<ConfigError>(names.insert(row.name()).second, "rows: got \"", row.name(), "\" twice");
    row.validate();
  }
}

AnswerAuditSpec default_answer_spec(const std::string& kind, Preset preset) {
  AnswerAuditSpec spec;
  spec.behaviour.kind = kind;
  if (kind == "refusal-benign") {
    spec.behaviour.requests = {"harmless"};
    spec.defence.kind = "directions";
    spec.defence.strengths = kDirectionStrengths;
  } else if (preset == Preset::kQuick) {
    spec.behaviour.requests = {"advbench"};
  }
  if (preset == Preset::kQuick) spec.behaviour.manifest = "data/refusal/quick_ids.json";
  spec.rows = rows_of(preset);
  if (preset == Preset::kQuick) {
    spec.controls.random_draws = 2;
    spec.batch = 24;  // of short answers: one decode for all
  }
  if (preset == Preset::kFull) {
    spec.behaviour.n_test = 60;
    if (spec.defence.kind == "features") spec.feature_counts = {1, 2, 5, 10, 20, 40, 61};
    spec.max_new_tokens = 128;
    spec.controls = {.is_on = true, .random_draws = 5, .inject_answers = 3};
  }
  return spec;
}

AnswerAuditSpec read_answer_spec(const Json& json, const std::string& where) {
  ObjectReader in(json, where);
  std::string kind = "refusal";
  if (in.has("behaviour"))
    kind = ObjectReader(in.at("behaviour"), where + ".behaviour").get("kind", kind);
  AnswerAuditSpec spec = default_answer_spec(kind, Preset::kQuick);
  read_field(in, "model", spec.model);
  if (in.has("behaviour"))
    spec.behaviour = read_behaviour(in.at("behaviour"), where + ".behaviour", spec.behaviour);
  if (in.has("defence"))
    spec.defence = read_defence(in.at("defence"), where + ".defence", spec.defence);
  if (in.has("rows")) {
    const Json& rows = in.at("rows");
    require<ConfigError>(
        rows.is_array(), where, ".rows: got ", rows.type_name(), ", expected a list");
    spec.rows.clear();
    for (size_t i = 0; i < rows.size(); ++i)
      spec.rows.push_back(read_answer_row(rows[i], concat(where, ".rows[", i, "]")));
  }
  if (in.has("controls"))
    spec.controls = read_controls(in.at("controls"), where + ".controls", spec.controls);
  if (in.has("attribution"))
    spec.attribution = read_attribution(in.at("attribution"), where + ".attribution");
  for (const char* key : {"behaviour", "defence", "rows", "controls", "attribution"})
    in.get<Json>(key, Json());
  read_field(in, "feature_counts", spec.feature_counts);
  read_field(in, "target_tokens", spec.target_tokens);
  read_field(in, "max_new_tokens", spec.max_new_tokens);
  read_field(in, "batch", spec.batch);
  const int64_t seed = in.get<int64_t>("seed", 0);
  require<ConfigError>(seed >= 0, where, ".seed: got ", seed, ", expected >= 0");
  spec.seed = static_cast<uint64_t>(seed);
  read_field(in, "dtype", spec.dtype);
  read_field(in, "device", spec.device);
  read_field(in, "transformer_lens_processing", spec.has_transformer_lens_processing);
  read_field(in, "trace", spec.trace);
  in.finish();
  spec.validate();
  return spec;
}

Json to_json(const AnswerAuditSpec& spec) {
  Json rows = Json::array();
  for (const AnswerRowSpec& row : spec.rows) rows.push_back(to_json(row));
  const AnswerBehaviourSpec& b = spec.behaviour;
  const AnswerDefenceSpec& d = spec.defence;
  Json json = {{"model", spec.model},
               {"behaviour",
                {{"kind", b.kind},
                 {"requests", b.requests},
                 {"n_train", b.n_train},
                 {"n_test", b.n_test},
                 {"ids", b.ids},
                 {"manifest", b.manifest}}},
               {"defence",
                {{"kind", d.kind},
                 {"layers", d.layers},
                 {"saes", d.saes},
                 {"features", d.features},
                 {"edits", d.edits},
                 {"strengths", d.strengths},
                 {"strength", d.strength ? Json(*d.strength) : Json()},
                 {"max_degenerate", d.max_degenerate},
                 {"n_safe", d.n_safe}}},
               {"rows", rows},
               {"controls",
                {{"on", spec.controls.is_on},
                 {"random_draws", spec.controls.random_draws},
                 {"inject_answers", spec.controls.inject_answers}}},
               {"attribution",
                {{"on", spec.attribution.is_on},
                 {"saes", spec.attribution.saes},
                 {"top_k", spec.attribution.top_k}}},
               {"feature_counts", spec.feature_counts},
               {"target_tokens", spec.target_tokens},
               {"max_new_tokens", spec.max_new_tokens},
               {"batch", spec.batch},
               {"seed", spec.seed},
               {"dtype", spec.dtype},
               {"trace", spec.trace}};
  if (spec.device != "cpu") json["device"] = spec.device;
  if (spec.has_transformer_lens_processing) json["transformer_lens_processing"] = true;
  return json;
}

}  // namespace rebound
