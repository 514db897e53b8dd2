// Log-probabilities of given tokens under logits, in as few passes over the vocabulary as it takes:
// an answer of 48 tokens has 48 x d_vocab logits a request, and every pass reads them all.
#pragma once

#include <ATen/core/Tensor.h>

namespace rebound {

struct TargetScores {
  at::Tensor log_prob;  // [batch, rows] float32
  at::Tensor argmax;    // [batch, rows] int64, no gradient
};

// logits [batch, rows, d_vocab] float32, targets [batch, rows] int64. Differentiable once in logits:
// d log_prob / d logits = onehot(target) - softmax(logits).
TargetScores score_targets(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace rebound
