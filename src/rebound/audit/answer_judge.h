// Figures of an attack on whole answers: with the target answer forced, and of the answers that the
// model gives under the clamps with the perturbation in place. No text is kept.
#pragma once

#include <vector>

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/store.h"

namespace rebound {

// Of each example, in float32: "score_float32", "norm", "norm_rel", drifts, "floor_violation".
// `span` wraps the sites.
std::vector<Json> forced_figures(const CrossProblem& problem, const at::Tensor& delta, Span span);

// Verdict and likeness of one answer against the flip's base answer, beside `figures`. `recovered`:
// on topic.
StoredResult judge(const AnswerBatch& batch,
                   size_t flip,
                   const std::vector<int64_t>& answer,
                   Json figures);

// Lets the model answer with delta in place and judges the answers, with drift and norm while
// generating. `forced`: figures of each flip to add to.
std::vector<StoredResult> judge_attacked(const AnswerBatch& batch,
                                         const at::Tensor& delta,
                                         Span span,
                                         const std::vector<Json>& forced);

}  // namespace rebound
