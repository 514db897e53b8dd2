// Letter answers in all 24 orders by the default model, for the first 4 questions of
// data/mcq/capitals_mcq.jsonl; questions/s. `orders`: 24 in one prefix forest; 1: one order after
// the other, the same code without sharing. bench/peer/mcq_reference.py is the same in PyTorch. CPU
// is of all threads: on a busy machine read that.
//   build/release/multiple_choice_bench
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "rebound/behaviour/multiple_choice.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/text/load.h"

namespace rebound {
namespace {

void BM_LetterPicks(benchmark::State& state) {
  const at::NoGradGuard no_grad;
  const std::string path = find_default_model();
  const Transformer model = load_model(path, state.range(1) == 16 ? at::kBFloat16 : at::kFloat);
  const Tokenizer tokenizer = load_tokenizer(path);
  std::vector<Question> questions =
      read_questions(find_project_path("data/mcq/capitals_mcq.jsonl"));
  questions.resize(4);
  for (auto _ : state) {
    if (state.range(0) == 24) {
      benchmark::DoNotOptimize(letter_picks(model, tokenizer, questions));
      continue;
    }
    for (const Question& question : questions) {
      for (const Order& order : all_orders()) {
        const TokenBatch batch =
            TokenBatch::from({tokenizer.encode(letters_prompt(question, order))});
        benchmark::DoNotOptimize(model.logits(model.run(batch).resid[0]));
      }
    }
  }
  state.counters["questions/s"] =
      benchmark::Counter(4, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_LetterPicks)
    ->ArgNames({"orders", "bits"})
    ->ArgsProduct({{1, 24}, {32, 16}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace rebound

BENCHMARK_MAIN();
