// One step of the attack on the default model: forward from blocks.12.hook_resid_pre, two logits,
// and backward to delta, for a batch of 20-token prompts. GFLOP/s is the counter to read beside
// `rebound doctor`'s speed of a large product.
//   build/release/recover_bench
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "rebound/base/parallel.h"
#include "rebound/model/flops.h"
#include "rebound/model/segment.h"
#include "rebound/model/transformer.h"

namespace rebound {
namespace {

constexpr int64_t kPromptTokens = 20;
constexpr int64_t kPerturbedLayer = 12;

struct Part {
  Segment segment;
  at::Tensor pair;  // [n, 2]
};

std::vector<Part> make_parts(const Transformer& model, int64_t n, int64_t count) {
  std::vector<std::vector<int64_t>> prompts;
  for (int64_t i = 0; i < n; ++i) {
    auto& prompt = prompts.emplace_back();
    for (int64_t j = 0; j < kPromptTokens; ++j) prompt.push_back(100 + i * 7 + j * 13);
  }
  const std::vector<int64_t> first(prompts.size(), kPromptTokens - 1);
  const SegmentSpec spec{
      {kPerturbedLayer, SiteKind::kResidPre}, first, {prompts.size(), {kPromptTokens - 1}}};
  const Segment segment = Segment::record(model, TokenBatch::from(prompts), {}, spec);
  const at::Tensor pair = at::arange(2 * n, at::kLong).view({n, 2});
  std::vector<Part> parts;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor index = at::arange(n * i / count, n * (i + 1) / count, at::kLong);
    parts.push_back({segment.select(index), pair.index_select(0, index)});
  }
  return parts;
}

void step(const Transformer& model, const Part& part) {
  const at::Tensor delta = at::zeros_like(part.segment.resid()).requires_grad_(true);
  const at::Tensor final_resid = part.segment.run(part.segment.resid() + delta).squeeze(1);
  const at::Tensor loss = model.logits_of(final_resid, part.pair).sum();
  benchmark::DoNotOptimize(torch::autograd::grad({loss}, {delta})[0].data_ptr<float>());
}

void BM_AttackStep(benchmark::State& state) {
  const int64_t n = state.range(0);
  const auto dtype = state.range(1) == 16 ? at::kBFloat16 : at::kFloat;
  const Transformer model = load_model(find_default_model(), dtype);
  const auto parts = make_parts(model, n, std::min<int64_t>(n, worker_count()));
  const int64_t before = FlopCount::total();
  for (const Part& part : parts) part.segment.run(part.segment.resid());
  const double flops =
      2 * static_cast<double>(FlopCount::total() - before);  // backward to delta: as much again
  for (auto _ : state) {
    run_parts(static_cast<int64_t>(parts.size()),
              [&](int64_t i) { step(model, parts[static_cast<size_t>(i)]); });
  }
  const auto per_step = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP"] = flops * 1e-9;
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, per_step);
  state.counters["prompts/s"] = benchmark::Counter(static_cast<double>(n), per_step);
}
BENCHMARK(BM_AttackStep)
    ->ArgNames({"prompts", "bits"})
    ->Args({1, 32})
    ->Args({16, 32})
    ->Args({48, 32})
    ->Args({64, 32})
    ->Args({48, 16})
    ->Args({64, 16})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
