// Generation and loading of one model: REBOUND_BENCH_MODEL (what --model takes), else the
// default one. CPU is of all threads: on a busy machine read that, not the time.
//   build/release/generate_bench --benchmark_filter=Generate.*batch:24
// BM_GenerateBatch  greedy answers of `new` tokens to prompts of 30 to 49 tokens, the prompts' run
//                   included; tokens/s counts new tokens. `split`: parts of the batch on the
//                   threads, each with one BLAS thread, against one batch with LibTorch's threads.
// BM_WeightProduct  x W^T: one row is one_row_product, two rows are oneDNN's; weights that no cache
//                   holds, as in generation
// BM_Load           from the file to a model that runs
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "rebound/model/generate_batch.h"
#include "rebound/model/weight_product.h"

namespace rebound {
namespace {

std::string model_path() {
  const char* given = std::getenv("REBOUND_BENCH_MODEL");
  return find_model(given ? given : "");
}

at::ScalarType dtype_of(int64_t bits) { return bits == 16 ? at::kBFloat16 : at::kFloat; }

std::vector<std::vector<int64_t>> make_prompts(int64_t n) {
  std::vector<std::vector<int64_t>> prompts;
  for (int64_t i = 0; i < n; ++i) {
    auto& prompt = prompts.emplace_back();
    for (int64_t j = 0; j < 30 + i * 7 % 20; ++j) prompt.push_back(100 + i * 7 + j * 13);
  }
  return prompts;
}

void count_tokens(benchmark::State& state, int64_t tokens) {
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(tokens),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void BM_GenerateBatch(benchmark::State& state) {
  const Transformer model = load_model(model_path(), dtype_of(state.range(1)));
  const auto prompts = make_prompts(state.range(0));
  const GenerateBatchOptions options{.max_new_tokens = state.range(3),
                                     .is_split_allowed = state.range(2) == 1};
  for (auto _ : state) benchmark::DoNotOptimize(generate_batch(model, prompts, options));
  count_tokens(state, state.range(0) * state.range(3));
}
BENCHMARK(BM_GenerateBatch)
    ->ArgNames({"batch", "bits", "split", "new"})
    ->ArgsProduct({{1, 8, 24, 32, 48}, {32, 16}, {0, 1}, {16, 48}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void BM_WeightProduct(benchmark::State& state) {
  const at::NoGradGuard no_grad;
  const int64_t rows = state.range(0), n = state.range(1), k = state.range(2);
  constexpr int64_t kBytes = int64_t{1} << 28;
  std::vector<at::Tensor> weights;
  const at::ScalarType dtype = dtype_of(state.range(3));
  const int64_t bytes = n * k * state.range(3) / 8;
  for (int64_t held = 0; held < kBytes; held += bytes) {
    weights.push_back(at::randn({n, k}).to(dtype));
  }
  const at::Tensor x = at::randn({rows, k});
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(weight_product(x, weights[i++ % weights.size()]));
  }
  state.SetBytesProcessed(state.iterations() * bytes);
}
BENCHMARK(BM_WeightProduct)
    ->ArgNames({"rows", "n", "k", "bits"})
    ->ArgsProduct({{1, 2}, {3072, 49152}, {576}, {16, 32}})
    ->ArgsProduct({{1, 2}, {576}, {1536}, {16, 32}})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void BM_Load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(load_model(model_path(), dtype_of(state.range(0))));
}
BENCHMARK(BM_Load)
    ->ArgName("bits")
    ->Arg(32)
    ->Arg(16)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
