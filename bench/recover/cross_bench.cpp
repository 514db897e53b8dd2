// Steps of the cross-layer search on the default model: clamps at layers 10, 14, 18 (one random
// direction each), random answers of 48 tokens. `at_once`: examples searched together on a thread.
// CPU is of all threads.
//   build/release/cross_bench
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "rebound/base/rng.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/recover/cross_solver.h"

namespace rebound {
namespace {

constexpr int64_t kAnswerTokens = 48, kSteps = 4;

CrossProblem make_problem(const Transformer& model, int64_t n) {
  Rng rng({7});
  std::vector<std::shared_ptr<const Clamp>> clamps;
  for (const int64_t layer : {10, 14, 18}) {
    const auto width = model.d_model();
    DirectionClamp::Options options{
        .edit = DirectionEdit::kAdd, .strength = 0.25, .positions = {}, .sink_norm = 1e9};
    clamps.push_back(std::make_shared<const DirectionClamp>(
        Site{layer, SiteKind::kResidPre}, at::tensor(rng.normals(width)), options));
  }
  std::vector<TargetAnswer> answers;
  for (int64_t i = 0; i < n; ++i) {
    TargetAnswer& target = answers.emplace_back();
    for (int64_t j = 0; j < 30; ++j) target.prompt.push_back(100 + i * 7 + j * 13);
    for (int64_t j = 0; j < kAnswerTokens; ++j) target.answer.push_back(200 + i * 11 + j * 17);
  }
  auto plan = std::make_shared<const ClampPlan>(std::move(clamps), model.config());
  return CrossProblem::record(model, std::move(plan), answers, kAnswerTokens);
}

void BM_CrossStep(benchmark::State& state) {
  const auto dtype = state.range(0) == 16 ? at::kBFloat16 : at::kFloat;
  const Transformer model = load_model(find_default_model(), dtype);
  const CrossProblem problem = make_problem(model, 24);
  CrossSolverOptions options;
  options.budget = 2;
  options.max_steps = kSteps;
  options.examples_at_once = state.range(1);
  const CrossRung& rung = cross_rung_of("forward_projection");
  for (auto _ : state) benchmark::DoNotOptimize(solve_cross(problem, rung, options).score);
  state.counters["s/example_step"] = benchmark::Counter(
      static_cast<double>(problem.size() * kSteps),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_CrossStep)
    ->ArgNames({"bits", "at_once"})
    ->ArgsProduct({{32, 16}, {4, 12}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
