// Linear probes of pooled vectors, and what an ablation of SAE features makes of these vectors.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rebound/probe/class_task.h"
#include "rebound/probe/features.h"
#include "rebound/stats/samples.h"

namespace rebound {

// pooled [texts, d]: the rows of the texts.
Samples pooled_samples(const at::Tensor& pooled, const OneAgainstRest& texts);
at::Tensor weight_of(const LinearModel& model);  // [d] float32
// w . x + b of each text, in double. [texts]
at::Tensor pooled_logits(const LinearModel& probe, const at::Tensor& pooled);
double pooled_accuracy(const LinearModel& probe,
                       const at::Tensor& pooled,
                       const OneAgainstRest& texts);

// Mean of the positive texts minus that of the negative ones, in double. code [texts, d_sae]
// pooled. [d_sae] DataError without one of the classes.
at::Tensor mean_code_difference(const at::Tensor& code, const std::vector<bool>& is_positive);

// Mean residuals with the features at 0 in every token and the error term kept: without an input
// norm this is linear in the codes of the tokens, so pooled codes suffice. [texts, d_model]
at::Tensor ablated_means(const Sae& sae,
                         const PooledFeatures& pooled,
                         const Sae::Features& features);
// ConfigError for an SAE that normalises its input.
void require_linear_ablation(const Sae& sae);

// `asked` or those of `defaults` that the SAE has latents for, ascending, each once. ConfigError
// for one outside 1..d_sae that was asked for.
std::vector<int64_t> usable_counts(const std::vector<int64_t>& asked,
                                   const std::vector<int64_t>& defaults,
                                   int64_t d_sae);

}  // namespace rebound
