// Texts to token ids, and their activations at one residual site into a cache.
#pragma once

#include <cstdint>
#include <vector>

#include "rebound/model/transformer.h"
#include "rebound/probe/activation_cache.h"
#include "rebound/probe/task.h"
#include "rebound/text/load.h"

namespace rebound {

struct HarvestOptions {
  // Changes results: of a longer text the first token and the last max_tokens - 1 are kept.
  int64_t max_tokens = 256;
  // Changes speed only: tokens of a batch, padding included.
  int64_t batch_tokens = 2048;

  void validate() const;
};

// A chat task's text is the user's message with the opening of the answer behind it; a plain text
// follows BOS where the tokenizer has one, so that its own first token is no attention sink. A
// model without a template takes chat texts as plain ones.
std::vector<std::vector<int64_t>> encode_texts(const ProbeTask& task,
                                               const Tokenizer& tokenizer,
                                               const ChatTemplate* chat,
                                               const HarvestOptions& options = {});

// Puts the tokens of every text that count (sae/sinks.h, the median taken over the text alone) into
// `cache`; the value does not depend on the batches. Throws ConfigError for a site that is not
// residual, DataError naming a text (by its place) of which no token counts.
void harvest_texts(const Transformer& model,
                   const Site& site,
                   const std::vector<std::vector<int64_t>>& texts,
                   ActivationCache& cache,
                   const HarvestOptions& options = {});

}  // namespace rebound
