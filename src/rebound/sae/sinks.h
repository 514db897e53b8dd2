// The attention-sink rule, one for training, splicing, ablation, clamping and metrics.
//
// Position 0 of a context takes a norm two orders above the rest (23,400 against 133 in the
// default model), on rare texts another early position does. Such tokens are left as they are
// and do not count in FVU, L0 or dead latents:
//
//   sink  <=>  position == 0  or  |x| > kSinkNormRatio * median |x| over the real tokens
#pragma once

#include <ATen/core/Tensor.h>

#include "rebound/model/hooks.h"

namespace rebound {

constexpr double kSinkNormRatio = 10.0;
constexpr int64_t kSaeContextLength = 128;  // tokens, without BOS

// resid [batch, rows, d_model] -> [batch, rows] bool: a real token that is no sink. The median is
// taken over the real tokens of the whole batch.
at::Tensor counted_tokens(const at::Tensor& resid, const Rows& rows);

// The same by a given limit of |x|, where several batches are to agree on who is a sink.
at::Tensor counted_tokens(const at::Tensor& resid, const Rows& rows, double norm_limit);

// `edited` on the counted tokens, `resid` elsewhere.
at::Tensor keep_sinks(const at::Tensor& resid,
                      const at::Tensor& edited,
                      const at::Tensor& is_counted);

}  // namespace rebound
