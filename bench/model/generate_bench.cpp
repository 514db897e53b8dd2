// Greedy answers of `new` tokens by the default model to prompts of 30 to 49 tokens, the prompts'
// run included; tokens/s counts new tokens. `split`: parts of the batch on the threads, each with
// one BLAS thread, against one batch with LibTorch's and BLAS's own threads. CPU is of all threads:
// on a busy machine read that, not the time.
//   build/release/generate_bench --benchmark_filter=batch:24
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "rebound/model/generate_batch.h"

namespace rebound {
namespace {

std::vector<std::vector<int64_t>> make_prompts(int64_t n) {
  std::vector<std::vector<int64_t>> prompts;
  for (int64_t i = 0; i < n; ++i) {
    auto& prompt = prompts.emplace_back();
    for (int64_t j = 0; j < 30 + i * 7 % 20; ++j) prompt.push_back(100 + i * 7 + j * 13);
  }
  return prompts;
}

void BM_GenerateBatch(benchmark::State& state) {
  const auto dtype = state.range(1) == 16 ? at::kBFloat16 : at::kFloat;
  const Transformer model = load_model(find_default_model(), dtype);
  const auto prompts = make_prompts(state.range(0));
  const GenerateBatchOptions options{.max_new_tokens = state.range(3),
                                     .is_split_allowed = state.range(2) == 1};
  for (auto _ : state) benchmark::DoNotOptimize(generate_batch(model, prompts, options));
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(state.range(0) * state.range(3)),
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_GenerateBatch)
    ->ArgNames({"batch", "bits", "split", "new"})
    ->ArgsProduct({{1, 8, 24, 48}, {32, 16}, {0, 1}, {16, 48}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
