// Activations of a whole model: REBOUND_BENCH_MODEL (what --model takes), else the default one.
// hook_resid_post of the last layer, contexts of 128 tokens. CPU is of all threads.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <cstdlib>
#include <vector>

#include "rebound/sae/harvest.h"

namespace rebound {
namespace {

void BM_Harvest(benchmark::State& state) {
  const char* given = std::getenv("REBOUND_BENCH_MODEL");
  const Transformer model =
      load_model(find_model(given ? given : ""), state.range(1) == 16 ? at::kBFloat16 : at::kFloat);
  std::vector<std::vector<int64_t>> contexts(static_cast<size_t>(state.range(0)));
  for (size_t i = 0; i < contexts.size(); ++i) {
    for (size_t j = 0; j < 128; ++j) {
      contexts[i].push_back(static_cast<int64_t>(100 + (i * 128 + j) * 7919 % 40000));
    }
  }
  const TokenBatch batch = TokenBatch::from(contexts);
  const Site last{model.n_layers() - 1, SiteKind::kResidPost};
  for (auto _ : state) benchmark::DoNotOptimize(activations_at(model, last, batch).resid);
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(state.range(0) * 128),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Harvest)
    ->ArgNames({"batch", "bits"})
    ->ArgsProduct({{1, 32}, {32, 16}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
