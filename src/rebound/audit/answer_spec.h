// What an audit of whole answers does (behaviours refusal and refusal-benign), as data: read from JSON,
// filled with defaults, stored as spec.json beside the results.
//
//   {"behaviour": {"kind": "refusal", "requests": ["advbench", "harmbench"], "n_train": 32, "n_test": 24},
//    "defence": {"kind": "directions", "layers": [10, 14, 18], "strengths": [0.3, 0.5, 0.7]},
//    "rows": [{"constraint": "forward_projection", "budget": 40, "steps": 60, "lr": 0.1}], "seed": 0}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rebound/audit/spec.h"
#include "rebound/base/json.h"
#include "rebound/recover/cross_solver.h"

namespace rebound {

struct AnswerBehaviourSpec {
  std::string kind = "refusal";  // refusal: harmful requests; refusal-benign: harmless ones
  // Sets of behaviour/requests.h or JSONL files; the defence is chosen on the first one's train split.
  std::vector<std::string> requests = {"advbench", "harmbench"};
  int64_t n_train = 24;  // requests that choose the defence
  int64_t n_test = 24;   // requests tried of each set
  // Requests with these ids alone, in this order; empty: those of the manifest.
  std::vector<std::string> ids;
  // File {"set": [ids]} of requests known to be valid flips; empty: the first n_test of the test split.
  std::string manifest;
};

// directions: difference of means of refusing and complying answers, added at each layer.
// features: SAE features with the largest difference of mean codes, their differences added.
// edits: a list of clamps as given.
struct AnswerDefenceSpec {
  std::string kind = "directions";
  std::vector<int64_t> layers = {10, 14, 18};  // directions
  std::vector<std::string> saes;               // features: SAE folders, one a site
  int64_t features = 20;                       // of each SAE
  Json edits = Json::array();                  // see docs/spec.md
  // In units of the difference; tried weakest first on training requests.
  std::vector<double> strengths = {0.15, 0.2, 0.225, 0.25, 0.3};
  std::optional<double> strength;  // given: nothing is tried
  double max_degenerate = 0.10;    // of training answers
  int64_t n_safe = 16;             // safe-looking requests for false refusals
};

struct AnswerRowSpec {
  std::string constraint = "forward_projection";  // rung of cross_solver.h
  RowKind kind = RowKind::kAttack;                // "objective": "answer" or "minimal_budget"
  double budget = 40;
  int64_t steps = 60;
  double lr = 0.1;

  bool operator==(const AnswerRowSpec&) const = default;
  std::string objective() const { return kind == RowKind::kAttack ? "answer" : "minimal_budget"; }
  std::string name() const;  // constraint/objective/per_prompt@budget
};

struct AnswerControlSpec {
  bool is_on = true;
  int64_t random_draws = 3;
  int64_t inject_answers = 1;  // other requests' answers to write in place of the own one
};

struct AnswerAuditSpec {
  std::string model;  // empty: the default model
  AnswerBehaviourSpec behaviour;
  AnswerDefenceSpec defence;
  int64_t target_tokens = 48;   // of the base answer, scored and perturbed
  int64_t max_new_tokens = 64;  // of every generated answer
  std::vector<AnswerRowSpec> rows;
  AnswerControlSpec controls;
  VerdictSpec verdict;
  int64_t batch = 8;  // requests per unit of work and of resume
  uint64_t seed = 0;
  std::string dtype = "bfloat16";  // while searching; answers are generated in float32

  const AnswerRowSpec& headline() const;  // the first forward_projection row, else the last row
  void validate() const;                  // ConfigError
};

bool is_answer_behaviour(const std::string& kind);

enum class Preset { kQuick, kFull };
Preset parse_preset(const std::string& text);  // "quick", "full"; ConfigError

AnswerAuditSpec default_answer_spec(const std::string& kind, Preset preset);
AnswerAuditSpec read_answer_spec(const Json& json, const std::string& where);
Json to_json(const AnswerAuditSpec& spec);

}  // namespace rebound
