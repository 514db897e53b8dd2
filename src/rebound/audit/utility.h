// What the defence itself costs: next-token prediction on harmless text with and without it.
#pragma once

#include "rebound/audit/subject.h"

namespace rebound {

// {"text", "tokens", "ce_base", "ce_defended", "kl_to_base", "top1_agreement"}: cross-entropies and
// KL(base || defended) in nats per token, over the first `contexts` contexts of 128 tokens of
// data/text/heldout.txt.gz. Null where the subject has no tokenizer.
Json measure_utility(const Subject& subject, int64_t contexts);
Json measure_cost_of_hooks(const Transformer& model, const Tokenizer& tokenizer, const Hooks& hooks, int64_t contexts);

}  // namespace rebound
