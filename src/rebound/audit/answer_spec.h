// What an audit of whole answers does (behaviours refusal and refusal-benign), as data: read from JSON,
// filled with defaults, stored as spec.json beside the results.
//
//   {"behaviour": {"kind": "refusal", "requests": ["advbench", "harmbench"], "n_train": 32, "n_test": 24},
//    "defence": {"kind": "directions", "layers": [10, 14, 18], "strengths": [0.15, 0.2, 0.25]},
//    "rows": [{"constraint": "forward_projection", "budget": 40, "steps": 60, "lr": 0.1}], "seed": 0}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rebound/audit/answer_row_spec.h"
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
  std::string kind = "features";
  std::vector<int64_t> layers = {10, 14, 18};  // directions
  // features: SAE folders, one a site
  std::vector<std::string> saes = {"assets/sae/smollm2-135m-instruct-l12", "assets/sae/smollm2-135m-instruct-l14",
                                   "assets/sae/smollm2-135m-instruct-l18"};
  int64_t features = 20;                       // of each SAE
  Json edits = Json::array();                  // see docs/spec.md
  // In units of the difference; tried weakest first on training requests. {0.15 .. 0.3} for directions.
  std::vector<double> strengths = {0.3, 0.4, 0.5};
  std::optional<double> strength;  // given: nothing is tried
  double max_degenerate = 0.05;    // of training answers
  int64_t n_safe = 16;             // safe-looking requests for false refusals
};

struct AnswerControlSpec {
  bool is_on = true;
  int64_t random_draws = 3;
  int64_t inject_answers = 1;  // other requests' answers to write in place of the own one
};

struct AnswerAttributionSpec {
  bool is_on = true;
  // Folders, at most one a clamp on directions; empty: those of assets/sae at such sites.
  std::vector<std::string> saes;
  int64_t top_k = 20;  // other features replayed and knocked out together
};

struct AnswerAuditSpec {
  std::string model;  // empty: the default model
  AnswerBehaviourSpec behaviour;
  AnswerDefenceSpec defence;
  std::vector<int64_t> feature_counts;  // of each SAE, each a defence of its own; see answer_counts.h
  int64_t target_tokens = 48;   // of the base answer, scored and perturbed
  int64_t max_new_tokens = 64;  // of every generated answer
  std::vector<AnswerRowSpec> rows;
  AnswerControlSpec controls;
  AnswerAttributionSpec attribution;
  VerdictSpec verdict;
  int64_t batch = 8;  // requests per unit of work and of resume
  uint64_t seed = 0;
  std::string dtype = "bfloat16";  // while searching (run_memory.h); answers are generated in float32
  std::string device = "cpu";      // where the model runs (model/device.h)
  // Weights as TransformerLens leaves them (model/transformer_lens.h); SAEs of the defence that were
  // trained on such a model ask for it themselves.
  bool has_transformer_lens_processing = false;
  bool trace = false;              // score, drift and norm of every step are stored

  // The first forward_projection attack, else the last attack that is not at the input, else the
  // last attack.
  const AnswerRowSpec& headline() const;
  void validate() const;                  // ConfigError
};

bool is_answer_behaviour(const std::string& kind);

enum class Preset { kQuick, kFull };
Preset parse_preset(const std::string& text);  // "quick", "full"; ConfigError

AnswerAuditSpec default_answer_spec(const std::string& kind, Preset preset);
AnswerAuditSpec read_answer_spec(const Json& json, const std::string& where);
Json to_json(const AnswerAuditSpec& spec);

}  // namespace rebound
