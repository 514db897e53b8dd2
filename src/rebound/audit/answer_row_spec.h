// A row of an audit of whole answers, as data: an attack inside the model (a rung of
// recover/cross_solver.h) or at its input (recover/input_attack.h).
//
//   {"constraint": "forward_projection", "objective": "answer", "budget": 40, "steps": 60, "lr":
//   0.1}
//   {"constraint": "soft_suffix", "obfuscation": 1, "behaviour_weight": 1, "suffix_tokens": 16,
//    "steps": 120, "lr": 0.01, "prompts": 8}
//   {"constraint": "gcg", "search_width": 64, "top_k": 256, "suffix_tokens": 16, "steps": 20,
//    "prompts": 8}
#pragma once

#include <cstdint>
#include <string>

#include "rebound/audit/spec.h"
#include "rebound/base/json.h"

namespace rebound {

// What a row at the input has in place of a budget.
struct SuffixRowSpec {
  int64_t tokens = 16;          // "suffix_tokens"
  int64_t prompts = 0;          // most flips that the row tries, over the whole run; 0: all
  double obfuscation = 1;       // soft_suffix: weight of the squared relative drift
  double behaviour_weight = 1;  // soft_suffix: of -(mean log-probability)
  int64_t search_width = 64;    // gcg: candidates a step
  int64_t top_k = 256;          // gcg: replacements considered at each position

  bool operator==(const SuffixRowSpec&) const = default;
};

struct AnswerRowSpec {
  std::string constraint = "forward_projection";
  RowKind kind = RowKind::kAttack;  // "objective": "answer" or "minimal_budget"
  double budget = 40;               // not at the input
  int64_t steps = 60;
  double lr = 0.1;  // not gcg
  SuffixRowSpec suffix = {};

  // The defaults of docs/spec.md for this constraint and kind.
  static AnswerRowSpec of(const std::string& constraint, RowKind kind = RowKind::kAttack);

  bool operator==(const AnswerRowSpec&) const = default;
  bool is_soft_suffix() const { return constraint == "soft_suffix"; }
  bool is_gcg() const { return constraint == "gcg"; }
  // The attacker writes into the prompt; activations, budget and span are not its own.
  bool is_at_input() const { return is_soft_suffix() || is_gcg(); }
  std::string objective() const { return kind == RowKind::kAttack ? "answer" : "minimal_budget"; }
  // constraint/objective/per_prompt@40; at the input @obfuscation=1 or @width=64,steps=20.
  std::string name() const;
  void validate() const;  // ConfigError
};

// Keys that do not belong to the constraint are unknown ones: ConfigError.
AnswerRowSpec read_answer_row(const Json& json, const std::string& where);
Json to_json(const AnswerRowSpec& row);

}  // namespace rebound
