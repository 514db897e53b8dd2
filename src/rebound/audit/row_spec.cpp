#include "rebound/audit/row_spec.h"

#include <sstream>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr int64_t kMinimalBudgetSteps = 20, kFactSteps = 40, kFactMatchSteps = 20;

std::string number_text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

}  // namespace

RowSpec read_row(const Json& json, const std::string& where) {
  ObjectReader in(json, where);
  RowSpec row;
  row.constraint = in.get("constraint", row.constraint);
  rung_of(row.constraint);
  const std::string objective = in.get<std::string>("objective", "logit_diff");
  if (objective == "minimal_budget") {
    row.kind = RowKind::kMinimalBudget;
    row.steps = kMinimalBudgetSteps;
  } else {
    row.objective = parse_objective(objective);
  }
  row.threat_model = parse_threat_model(in.get<std::string>("threat_model", "after_clamp"));
  const std::string scope = in.get<std::string>("scope", "per_prompt");
  require<ConfigError>(scope == "per_prompt" || scope == "shared",
                       where,
                       ".scope: got \"",
                       scope,
                       "\", expected per_prompt or shared");
  row.scope = scope == "shared" ? RowScope::kShared : RowScope::kPerPrompt;
  row.budget = in.get("budget", row.budget);
  row.steps = in.get("steps", row.steps);
  row.lr = in.get("lr", row.lr);
  const bool stops = row.kind == RowKind::kMinimalBudget || row.objective == Objective::kMatchBase;
  const std::string stop = in.get<std::string>("stop", stops ? "at_goal" : "never");
  require<ConfigError>(stop == "never" || stop == "at_goal",
                       where,
                       ".stop: got \"",
                       stop,
                       "\", expected never or at_goal");
  row.stop = stop == "never" ? StopRule::kNever : StopRule::kAtGoal;
  in.finish();
  return row;
}

Json row_json(const RowSpec& row) {
  return {{"constraint", row.constraint},
          {"objective",
           row.kind == RowKind::kMinimalBudget ? "minimal_budget" : to_string(row.objective)},
          {"threat_model", to_string(row.threat_model)},
          {"scope", row.scope == RowScope::kShared ? "shared" : "per_prompt"},
          {"budget", row.budget},
          {"steps", row.steps},
          {"lr", row.lr},
          {"stop", row.stop == StopRule::kNever ? "never" : "at_goal"}};
}

std::vector<RowSpec> default_rows(double budget) {
  const auto attack = [&](const char* constraint, Objective objective, ThreatModel threat) {
    RowSpec row;
    row.constraint = constraint;
    row.objective = objective;
    row.threat_model = threat;
    row.budget = budget;
    if (objective == Objective::kMatchBase) {
      row.stop = StopRule::kAtGoal;
      row.steps = 40;
    }
    return row;
  };
  const auto after = ThreatModel::kAfterClamp, before = ThreatModel::kBeforeClamp;
  std::vector<RowSpec> rows;
  for (const char* rung : {"encoder_decoder", "encoder", "encoder_published", "penalty", "none"}) {
    rows.push_back(attack(rung, Objective::kLogitDiff, after));
  }
  for (const char* rung : {"encoder_decoder", "encoder", "none"}) {
    rows.push_back(attack(rung, Objective::kMatchBase, after));
  }
  // With a pointwise SAE the projecting rungs are the same under both threat models (tested law).
  rows.push_back(attack("none", Objective::kLogitDiff, before));
  for (const char* rung : {"encoder_decoder", "none"}) {
    RowSpec row = attack(rung, Objective::kLogitDiff, after);
    row.kind = RowKind::kMinimalBudget;
    row.stop = StopRule::kAtGoal;
    row.steps = kMinimalBudgetSteps;
    rows.push_back(row);
  }
  return rows;
}

std::vector<RowSpec> fact_rows(double budget) {
  std::vector<RowSpec> rows = default_rows(budget);
  std::erase_if(rows, [](const RowSpec& row) {
    const bool is_second_match =
        row.objective == Objective::kMatchBase && row.constraint != "encoder_decoder";
    const bool is_free_minimum = row.kind == RowKind::kMinimalBudget && row.constraint == "none";
    return row.threat_model == ThreatModel::kBeforeClamp || is_second_match || is_free_minimum;
  });
  for (RowSpec& row : rows) {
    if (row.kind != RowKind::kAttack) continue;
    row.steps = row.objective == Objective::kMatchBase ? kFactMatchSteps : kFactSteps;
  }
  return rows;
}

std::string RowSpec::name() const {
  const std::string goal =
      kind == RowKind::kMinimalBudget ? "minimal_budget" : to_string(objective);
  return constraint + "/" + goal + "/" + (scope == RowScope::kShared ? "shared" : "per_prompt") +
         "@" + number_text(budget) +
         (threat_model == ThreatModel::kBeforeClamp ? "/before_clamp" : "");
}

}  // namespace rebound
