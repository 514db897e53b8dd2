#include "rebound/scaling/family.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/scaling/power_law.h"

namespace rebound {
namespace {

constexpr int64_t kWidest = 1024;
constexpr double kWidthOfLr = 64;

std::string name_of(double budget) {
  char text[32];
  std::snprintf(text, sizeof text, "%gx", budget);
  return text;
}

double tokens_for(const TinyShape& shape, double compute) {
  return compute / shape.training_flops_per_token();
}

TinyShape shape_for(const FamilyOptions& options, double compute) {
  TinyShape shape{.d_model = 0,
                  .n_layers = options.n_layers,
                  .n_heads = options.n_heads,
                  .vocabulary = options.vocabulary,
                  .context_length = options.context_length};
  TinyShape best = shape;
  double best_gap = 0;
  for (int64_t width = 2 * options.n_heads; width <= kWidest; width += 2 * options.n_heads) {
    shape.d_model = width;
    const double ratio = tokens_for(shape, compute) / static_cast<double>(shape.parameters());
    const double gap = std::abs(std::log(ratio / options.tokens_per_parameter));
    if (best.d_model != 0 && gap >= best_gap) continue;
    best = shape;
    best_gap = gap;
  }
  require<ConfigError>(best.d_model > 0, "FamilyOptions.n_heads: got ", options.n_heads);
  return best;
}

}  // namespace

void FamilyOptions::validate() const {
  const auto positive = [](const char* field, double value) {
    require<ConfigError>(
        value > 0 && std::isfinite(value), "FamilyOptions.", field, " must be > 0, got ", value);
  };
  positive("base_compute", base_compute);
  positive("tokens_per_parameter", tokens_per_parameter);
  positive("lr", lr);
  const std::pair<const char*, int64_t> counts[] = {{"n_layers", n_layers},
                                                    {"n_heads", n_heads},
                                                    {"vocabulary", vocabulary},
                                                    {"context_length", context_length},
                                                    {"batch_contexts", batch_contexts}};
  for (const auto& [field, count] : counts) positive(field, static_cast<double>(count));
  std::vector<double> all = budgets;
  all.insert(all.end(), held_out.begin(), held_out.end());
  for (const double budget : all) positive("budgets", budget);
  std::sort(all.begin(), all.end());
  require<ConfigError>(
      std::adjacent_find(all.begin(), all.end()) == all.end(),
      "FamilyOptions.budgets: got a budget twice, expected each once, held out or not");
  require<ConfigError>(budgets.size() >= kFewestPoints,
                       "FamilyOptions.budgets: got ",
                       budgets.size(),
                       ", expected at least ",
                       kFewestPoints,
                       " (three numbers are fitted)");
}

Json FamilyOptions::to_json() const {
  return {{"name", name},
          {"base_compute", base_compute},
          {"budgets", budgets},
          {"held_out", held_out},
          {"tokens_per_parameter", tokens_per_parameter},
          {"n_layers", n_layers},
          {"n_heads", n_heads},
          {"vocabulary", vocabulary},
          {"context_length", context_length},
          {"batch_contexts", batch_contexts},
          {"lr", lr},
          {"seed", seed}};
}

double RunPlan::compute() const {
  return static_cast<double>(tokens()) * shape.training_flops_per_token();
}

RunPlan plan_run(const FamilyOptions& options, double budget) {
  const double compute = budget * options.base_compute;
  RunPlan plan{.name = name_of(budget), .budget = budget, .shape = shape_for(options, compute)};
  const auto step_tokens = static_cast<double>(options.batch_contexts * options.context_length);
  plan.train.steps =
      static_cast<int64_t>(std::llround(tokens_for(plan.shape, compute) / step_tokens));
  require<ConfigError>(plan.train.steps > 0,
                       "budget ",
                       plan.name,
                       ": got ",
                       compute,
                       " FLOP, expected enough for one step of ",
                       step_tokens,
                       " tokens");
  plan.train.batch_contexts = options.batch_contexts;
  plan.train.lr = options.lr * std::sqrt(kWidthOfLr / static_cast<double>(plan.shape.d_model));
  plan.seed = options.seed;
  return plan;
}

std::vector<RunPlan> plan_family(const FamilyOptions& options) {
  options.validate();
  std::vector<RunPlan> plans;
  for (const double budget : options.budgets) plans.push_back(plan_run(options, budget));
  for (const double budget : options.held_out) {
    plans.push_back(plan_run(options, budget));
    plans.back().is_held_out = true;
  }
  std::sort(plans.begin(), plans.end(), [](const RunPlan& x, const RunPlan& y) {
    return x.budget < y.budget;
  });
  for (size_t i = 0; i < plans.size(); ++i) plans[i].seed = options.seed * 1000 + i;
  return plans;
}

}  // namespace rebound
