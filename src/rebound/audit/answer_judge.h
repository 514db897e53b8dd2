// Figures of an attack on whole answers: with the target answer forced, and of the answers that the
// model gives under the clamps with the perturbation in place. No text is kept.
#pragma once

#include <vector>

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/store.h"

namespace rebound {

// Of the undefended model with the base answers forced, at the rows that predict them. [flips, n_rows, d_vocab]
at::Tensor base_log_probs(const AnswerBatch& batch, int64_t n_rows);

// Of each flip with its base answer forced, in float32: "score_float32", "norm", "norm_rel", drifts,
// "floor_violation". Where `base` (base_log_probs) is defined also "kl_to_base" in nats a token, and
// the lists of answer_detail.h. `span` wraps the sites.
std::vector<Json> forced_figures(const CrossProblem& problem, const at::Tensor& delta, Span span,
                                 const at::Tensor& base = {});

// Verdict and likeness of one answer against the flip's base answer, beside `figures`. `recovered`:
// on topic.
StoredResult judge(const AnswerBatch& batch,
                   size_t flip,
                   const std::vector<int64_t>& answer,
                   Json figures);

// "answer_nll" of each result: mean negative log-probability of its answer's tokens in the undefended model, nats.
void add_answer_nll(const AnswerBatch& batch, const std::vector<std::vector<int64_t>>& answers,
                    std::vector<StoredResult>& results);

// Lets the model answer with delta in place and judges the answers, with drift and norm while
// generating. `forced`: figures of each flip to add to.
std::vector<StoredResult> judge_attacked(const AnswerBatch& batch,
                                         const at::Tensor& delta,
                                         Span span,
                                         const std::vector<Json>& forced, bool wants_nll = false);

}  // namespace rebound
