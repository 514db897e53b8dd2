#include "rebound/audit/power.h"

#include <torch/torch.h>

#include <map>

#include "rebound/base/rng.h"

namespace rebound {
namespace {

FinishedBatch run_power(const RowSpec& headline,
                        const BatchContext& context,
                        const RowEnvironment& environment) {
  std::vector<int64_t> prompts, left;
  for (const ScoredExample& flip : context.flips) prompts.push_back(flip.index);
  for (const size_t i : missed_by(environment.store, headline.name(), prompts))
    left.push_back(static_cast<int64_t>(i));
  if (left.empty()) return {};
  const Constraint constraint(
      rung_of(headline.constraint), *context.subject->sae, context.defence->features());
  Problem problem = context
                        .problem(context.recovery_contests(Objective::kLogitDiff),
                                 headline.threat_model,
                                 Objective::kLogitDiff,
                                 headline.budget)
                        .select(at::tensor(left, at::kLong));
  Rng rng({environment.spec.seed, 0x706f776572});
  const int64_t d = problem.model->d_model();
  const at::Tensor drawn = at::tensor(rng.normals(d)).to(problem.budget.device());
  const at::Tensor noise = constraint.project(drawn.view({1, 1, d})).view({d});
  problem.leak_direction = noise / noise.norm();
  std::vector<float> gains;
  for (const int64_t i : left) {
    const double gap = -context.flips[static_cast<size_t>(i)].defended_score;
    gains.push_back(static_cast<float>(gap / (headline.budget / 2)));
  }
  problem.leak_gain = at::tensor(gains).to(problem.budget.device());
  const Solution solution = solve(
      problem, constraint, {.max_steps = headline.steps, .lr = headline.lr, .stop = headline.stop});
  FinishedBatch finished;
  for (size_t j = 0; j < left.size(); ++j) {
    StoredResult result;
    result.prompt = context.flips[static_cast<size_t>(left[j])].index;
    result.recovered = solution.is_won[j];
    result.score = solution.score[static_cast<int64_t>(j)].item<double>();
    result.recheck_score = kNotMeasured;
    result.steps = solution.steps[j];
    result.termination = to_string(solution.termination[j]);
    result.figures["norm"] = solution.delta[static_cast<int64_t>(j)].norm().item<double>();
    finished.results.push_back(std::move(result));
  }
  return finished;
}

}  // namespace

std::vector<size_t> missed_by(const Store& store,
                              const std::string& row,
                              const std::vector<int64_t>& prompts) {
  std::map<int64_t, bool> is_recovered;
  for (const StoredResult& result : store.results(row))
    is_recovered[result.prompt] |= result.recovered;
  std::vector<size_t> missed;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto found = is_recovered.find(prompts[i]);
    if (found != is_recovered.end() && !found->second) missed.push_back(i);
  }
  return missed;
}

Row power_row(const AuditSpec& spec) {
  const RowSpec headline = spec.headline();
  RowSummary head = head_of(headline);
  head.name = "power/" + head.name;
  head.control = "power";
  return {head, [headline](const BatchContext& context, const RowEnvironment& environment) {
            return run_power(headline, context, environment);
          }};
}

}  // namespace rebound
