// One vector per text from cached activations: of the residual itself, and of what an SAE makes of
// each token before pooling.
//
//   residual x     code f = encode(x)     reconstruction decode(f)     error x - decode(f)
#pragma once

#include <ATen/core/Tensor.h>

#include "rebound/probe/activation_cache.h"
#include "rebound/probe/pooling.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct PooledFeatures {
  at::Tensor residual;        // [texts, d_model]
  at::Tensor code;            // [texts, d_sae]; this and the rest undefined without an SAE
  at::Tensor reconstruction;  // [texts, d_model]
  at::Tensor error;           // [texts, d_model]

  bool has_sae() const { return code.defined(); }
};

// `sae` may be null. Throws DataError where a pooled position is missing, naming the text's place.
PooledFeatures pool_features(const ActivationCache& cache, const Pooler& pooler, const Sae* sae);

}  // namespace rebound
