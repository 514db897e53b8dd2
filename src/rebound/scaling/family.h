// A family of small llamas, one for each budget of training compute: which size, how long.
//
// All have the same depth and heads; width and tokens grow together so that every run has
// tokens = tokens_per_parameter * parameters, as near as widths (multiples of 2 n_heads) allow, and
// spends
//
//   compute = steps * batch_contexts * context_length * 3 * (forward FLOP per token)
//
// The peak learning rate falls with the width, lr * sqrt(64 / d_model).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/scaling/tiny_training.h"

namespace rebound {

struct FamilyOptions {
  std::string name = "bytes";
  double base_compute = 6e10;                                // FLOP of budget 1
  std::vector<double> budgets = {1, 2.5, 6.3, 16, 40, 100};  // in units of it; fitted
  std::vector<double> held_out = {25};                       // trained, never fitted
  double tokens_per_parameter = 40;
  int64_t n_layers = 2;
  int64_t n_heads = 2;
  int64_t vocabulary = 256;
  int64_t context_length = 128;
  int64_t batch_contexts = 8;
  double lr = 3e-3;  // peak at d_model 64
  uint64_t seed = 0;

  void validate() const;
  Json to_json() const;
};

struct RunPlan {
  std::string name;  // "6.3x", a folder's name
  double budget = 0;
  bool is_held_out = false;
  TinyShape shape;
  TinyTrainOptions train;
  uint64_t seed = 0;  // of the start; the order of the text is the same for all

  int64_t tokens() const { return train.steps * train.batch_contexts * shape.context_length; }
  double compute() const;
};

// One plan for a budget. ConfigError where a budget has no step or no width.
RunPlan plan_run(const FamilyOptions& options, double budget);
// Fitted and held-out ones, by budget.
std::vector<RunPlan> plan_family(const FamilyOptions& options);

}  // namespace rebound
