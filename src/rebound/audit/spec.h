// What an audit does, as data: read from JSON (comments allowed, unknown keys are errors), filled
// with defaults, stored as spec.json beside the results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/intervene/edit.h"
#include "rebound/recover/problem.h"
#include "rebound/recover/solver.h"

namespace rebound {

struct BehaviourSpec {
  std::string kind = "ioi";          // ioi | facts | mcq | toy-leaky | toy-feature-routed | toy-sealed
  std::string prompts;               // JSONL of test prompts; empty: made from templates
  std::string train_prompts;         // JSONL; needed with `prompts` when features are not given
  std::string templates = "baba";    // baba | abba | both
  int64_t n_train = 64, n_test = 64;  // of made prompts
  // facts (behaviour/facts.h) and mcq (behaviour/multiple_choice.h); empty: the files of data/facts, data/mcq
  std::string forget, retain, questions;
  int64_t n_retain = 350;
  int64_t folds = 5;
  int64_t letters = 0;  // mcq: so many questions are also asked by letter, in all 24 orders
};

// What the automatic choice may pick from, weakest first. The first value with which at least
// `min_flip_rate` of the training prompts flip is taken, else the one with most flips.
struct DefenceChoice {
  std::string rule = "attribution";  // facts also: firing_rates (audit/fold_defence.h)
  int64_t features = 64;
  std::vector<double> values = {-5, -10, -20, -50};
  double min_flip_rate = 0.6;
  double retain_threshold = 0.01;  // firing_rates alone
};

struct DefenceSpec {
  std::vector<int64_t> features;  // given: no choice is made
  FeatureEdit edit{.features = {}, .kind = EditKind::kSet, .value = -5};
  bool is_value_given = false;
  DefenceChoice choice;
};

enum class RowScope { kPerPrompt, kShared };
enum class RowKind { kAttack, kMinimalBudget };

struct RowSpec {
  std::string constraint = "encoder_decoder";  // rung of the ladder
  RowKind kind = RowKind::kAttack;
  Objective objective = Objective::kLogitDiff;
  ThreatModel threat_model = ThreatModel::kAfterClamp;
  RowScope scope = RowScope::kPerPrompt;
  double budget = 20;
  int64_t steps = 100;
  double lr = 0.1;
  StopRule stop = StopRule::kNever;

  bool operator==(const RowSpec&) const = default;
  // constraint/objective/scope@budget, with /before_clamp behind it for that threat model.
  std::string name() const;
};

struct ControlSpec {
  bool is_on = true;
  int64_t random_draws = 20;
  int64_t inject_targets = 4;  // unrelated answers; the other name and a gap-matched token besides
  std::vector<double> shared_budgets = {2, 5, 10, 20};
};

struct VerdictSpec {
  int64_t min_valid = 20;
  int64_t min_valid_for_bottleneck = 35;
  double bottleneck_rate = 0.10;  // upper 95 % bound of recovery at most this
};

struct AuditSpec {
  std::string model;  // empty: the default model
  std::string sae;    // empty: the default SAE
  std::string hook;   // empty: the one the SAE names; must agree with it
  BehaviourSpec behaviour;
  DefenceSpec defence;
  PositionSet perturb{PositionSet::Kind::kAnswer, {}};
  std::vector<RowSpec> rows;
  ControlSpec controls;
  VerdictSpec verdict;
  int64_t batch = 64;  // prompts per unit of work and of resume
  uint64_t seed = 0;
  std::string dtype = "float32";  // of the model's matrices (run_memory.h)
  std::string device = "cpu";     // where the model runs (model/device.h)
  bool trace = false;
  bool sweep = false;  // facts and mcq: SAEBench's unlearning score (audit/fold_sweep.h)

  // The row that the verdict and the controls are about: the first attack row per prompt, after the
  // clamp, with the constraint encoder_decoder and objective logit_diff; else the last attack row.
  const RowSpec& headline() const;
  // Facts and questions: one defence a fold, chosen on the others.
  bool has_folds() const { return behaviour.kind == "facts" || behaviour.kind == "mcq"; }
  void validate() const;  // ConfigError
};

// The preset of a behaviour: its rows and settings (method.md sections 2 and 6).
AuditSpec default_spec(const std::string& behaviour_kind);
AuditSpec read_spec(const Json& json, const std::string& where);
Json to_json(const AuditSpec& spec);

}  // namespace rebound
