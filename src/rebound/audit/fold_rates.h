// How often SAE features fire on what is to be forgotten and on what is to be kept, by fold;
// SAEBench's rule of choice. (docs/facts.md)
#pragma once

#include <vector>

#include "rebound/audit/subject.h"

namespace rebound {

using Prompts = std::vector<const Prompt*>;

Prompts prompts_of_fold(const std::vector<Prompt>& prompts, int64_t fold);
int64_t fold_count(const std::vector<Prompt>& prompts);  // the last fold is one less
int64_t fold_count(const Subject& subject);              // of its test prompts
// Those whose margin is positive without a defence.
Prompts known_of(const Transformer& model, const Prompts& prompts);
// Sum over the folds other than `fold` of tensors that may be undefined (an empty fold); undefined
// if all are.
at::Tensor sum_of_others(const std::vector<at::Tensor>& parts, int64_t fold);

// Of each fold the rates over all other folds: share of tokens on which a feature fires, [d_sae]
// float64. forget: the prompts to forget. retain: the prompts to retain and retain_contexts.
// Position 0 and sinks do not count.
struct FoldRates {
  std::vector<at::Tensor> forget, retain;
};
FoldRates fold_rates(const Subject& subject);

// 32 contexts of 128 tokens of data/text/heldout.txt.gz, or what there is of them behind the first
// kMeasuredContexts, which measure what a defence costs. [n, 128] int64
at::Tensor retain_contexts(const Tokenizer& tokenizer);

// Features that fire on at least `retain_threshold` of the tokens to retain get score 0; of the
// rest the `count` with the highest forget rate, zeros dropped. Rates are rounded to 6 decimals as
// published. Ties by the lower feature id (published: a reversed unstable sort, so in no stable
// order).
Sae::Features firing_rate_features(const at::Tensor& forget,
                                   const at::Tensor& retain,
                                   double retain_threshold,
                                   int64_t count);

}  // namespace rebound
