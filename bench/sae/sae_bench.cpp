// SAE work: encode, and a whole training step (tokens/s is the counter to read).
//   build/release/sae_bench --benchmark_counters_tabular=true
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "rebound/base/rng.h"
#include "rebound/sae/trainer.h"

namespace rebound {
namespace {

constexpr int64_t kDModel = 576;

at::Tensor random_activations(int64_t tokens) {
  Rng rng({7});
  return at::tensor(rng.normals(tokens * kDModel)).view({tokens, kDModel});
}

SaeTrainer make_trainer(int64_t d_sae, int64_t batch, Selection selection) {
  TrainOptions options;
  options.d_sae = d_sae;
  options.batch_tokens = batch;
  options.selection = selection;
  return SaeTrainer(options, TrainState::start(options, random_activations(4096)), 1'000'000);
}

void BM_TrainStep(benchmark::State& state) {
  const int64_t batch = state.range(1);
  const auto selection = static_cast<Selection>(state.range(2));
  SaeTrainer trainer = make_trainer(state.range(0), batch, selection);
  const at::Tensor x = random_activations(batch);
  for (auto _ : state) benchmark::DoNotOptimize(trainer.step(x).fvu);
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_TrainStep)
    ->ArgNames({"d_sae", "batch", "batchtopk"})
    ->Args({4608, 4096, 1})
    ->Args({6144, 4096, 1})
    ->Args({6144, 4096, 0})
    ->Args({8192, 4096, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void BM_Encode(benchmark::State& state) {
  const Sae sae =
      with_calibrated_threshold(make_trainer(state.range(0), 64, Selection::kBatchTopK).top_k_sae(),
                                random_activations(2048),
                                32);
  const at::Tensor x = random_activations(state.range(1));
  Sae::Features features;
  for (int64_t i = 0; i < state.range(2); ++i) features.push_back(i);
  for (auto _ : state) {
    benchmark::DoNotOptimize(features.empty() ? sae.encode(x) : sae.encode(x, features));
  }
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(state.range(1)),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Encode)
    ->ArgNames({"d_sae", "tokens", "features"})
    ->Args({6144, 1024, 0})
    ->Args({6144, 1024, 64})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
