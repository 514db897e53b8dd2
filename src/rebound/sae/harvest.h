// Activations of the frozen model at one residual site.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "rebound/model/transformer.h"

namespace rebound {

struct SiteActivations {
  at::Tensor resid;       // [batch, pos, d_model] float32
  at::Tensor is_counted;  // [batch, pos] bool: real and no sink (sinks.h)
  at::Tensor is_real;     // [batch, pos] bool

  at::Tensor counted() const;  // [tokens, d_model]
  int64_t sinks() const;       // real tokens that do not count
};

// Runs the layers below the site only. A token whose norm is above `sink_limit` is a sink; without
// it the limit is that of this batch (sinks.h).
SiteActivations activations_at(const Transformer& model,
                               const Site& site,
                               const TokenBatch& batch,
                               std::optional<double> sink_limit = {});

// A batch of full contexts without padding, [n, pos] of any integer type.
TokenBatch batch_of_contexts(const at::Tensor& contexts);

}  // namespace rebound
