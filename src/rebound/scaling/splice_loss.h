// Next-token loss of each context of a text, with and without something spliced into the model.
//
// Kept by context, so that differences are paired and bootstrap intervals can be drawn. The means
// are those of sae/evaluate.h: 128 tokens, attention sinks (sae/sinks.h) keep their value.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rebound/model/transformer.h"
#include "rebound/sae/sae.h"

namespace rebound {

// Mean over the predictions of each context, nats. `contexts` [n, pos] of any integer type.
std::vector<double> context_losses(const Transformer& model,
                                   const at::Tensor& contexts,
                                   const Hooks& hooks = {});

// The SAE's reconstruction in place of its site. The SAE must outlive the hooks; DataError when it
// does not fit the model.
Hooks splice_hooks(const Sae& sae, const ModelConfig& model);

// `value` [d_model] at every token of the site.
Hooks ablation_hooks(const Site& site, const at::Tensor& value);

// Mean activation at the site over the tokens that count. [d_model]
at::Tensor mean_activation(const Transformer& model, const Site& site, const at::Tensor& contexts);

}  // namespace rebound
