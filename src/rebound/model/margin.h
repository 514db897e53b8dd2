// By how much a token leads at one position.
//
//   margin = logit[correct] - logit[wrong]                  wrong [n]
//   margin = logit[correct] - max over k of logit[wrong_k]  wrong [n, k]
//   margin = logit[correct] - max over all other tokens     wrong [n], kBestOther
//
// The last is positive exactly where the correct token is the argmax. The gradient of a maximum is
// that of the best token of the moment.
#pragma once

#include <ATen/core/Tensor.h>

#include "rebound/model/transformer.h"

namespace rebound {

constexpr int64_t kBestOther = -1;

// resid [n, d_model] after the last layer; correct [n], wrong [n] or [n, k] int64. [n]
at::Tensor logit_margins(const Transformer& model,
                         const at::Tensor& resid,
                         const at::Tensor& correct,
                         const at::Tensor& wrong);
// The same of logits [n, d_vocab].
at::Tensor margins_of_logits(const at::Tensor& logits,
                             const at::Tensor& correct,
                             const at::Tensor& wrong);

}  // namespace rebound
