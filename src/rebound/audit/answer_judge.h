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
// "floor_violation"; relative ones null where the defended readings are ~0. Where `base` (base_log_probs) is defined also "kl_to_base" in nats a token, and
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

// What a perturbation is held to, and what is wanted of its answers.
struct AttackTerms {
  Span span = Span::kNone;
  double budget = 0;    // cap on the norm over the whole answer under a projection (decision 19)
  bool is_full = false;  // KL, answer_detail.h and "answer_nll", too
};

// Lets the model answer with delta in place and judges the answers. Figures: those of the forced
// target in `exact` (forced_figures), drift and norm while generating, "delta_scale": what delta was
// multiplied by to stay within the budget; all figures are of the scaled one. Recovered: on topic,
// within the budget.
std::vector<StoredResult> judge_attacked(const AnswerBatch& batch,
                                         const CrossProblem& exact,
                                         const at::Tensor& delta,
                                         const AttackTerms& terms);

// "norm_generation" and its companions, of answer i. Whether the perturbation is within its budget.
bool add_generation_figures(const AttackedAnswers& answers,
                            size_t i,
                            const AttackTerms& terms,
                            Json& figures);

// [flips, 1, 1, 1] "delta_scale" of each flip's stored result; 1 where there is none.
at::Tensor delta_scales(const std::vector<StoredResult>& results, const std::vector<AnswerFlip>& flips);

}  // namespace rebound
