// Rows whose attacker writes at the input (threat model `input`): a suffix to the user's content,
// as embeddings (soft_suffix) or as tokens (gcg), searched one request at a time, several at once.
//
// The search runs in the spec's dtype; what it found is scored, answered and measured in float32
// under the clamps. Figures beside those of the other rows:
//
//   suffix_norm_max   largest norm of an embedding of the suffix
//   suffix_sinks      pairs of a clamped site and a suffix position that the clamp leaves alone,
//                     since the residual there is longer than its sink_norm
//   n_runs            runs of one suffix in the search, those for gradients included
//   suffix_tokens, suffix_sha256   length, and of a hard suffix the hash; its tokens are not kept
//
// `norm` is absent: nothing is added to an activation.
#pragma once

#include <vector>

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/store.h"

namespace rebound {

// Results of the batch's flips, as far as the row's `prompts` goes. Says on stderr how long the
// search takes, from its first step, where that is a minute or more. DataError naming the request
// whose prompt takes no suffix.
std::vector<StoredResult> run_suffix_row(const AnswerRowSpec& row, const AnswerBatch& batch);

}  // namespace rebound
