// What an SAE keeps of the model, on held-out text.
//
//   ce_*         mean next-token cross-entropy in nats over contexts of 128 tokens
//   clean        the model as it is
//   spliced      the site replaced by the reconstruction
//   zero, mean   the site replaced by zeros, by the mean activation
//   ce_recovered (ce_zero - ce_spliced) / (ce_zero - ce_clean)
//
// Sinks (sinks.h) keep their value in every replacement and stay out of all other numbers. The
// median norm is that of the first 8 contexts for all of them: how many run at once changes
// nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "rebound/model/transformer.h"
#include "rebound/sae/fit_stats.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct SaeEvaluation {
  int64_t tokens = 0;  // counted
  int64_t sinks = 0;
  double fvu = 0;
  double l0 = 0;
  double norm_ratio = 0;
  double ce_clean = 0, ce_spliced = 0, ce_zero = 0, ce_mean = 0;
  double ce_recovered = 0;
  double dead = 0;   // share of latents never on in this text
  double dense = 0;  // share of latents on in more than a tenth of the tokens
  FiringHistogram firing_histogram{};

  Json to_json() const;
};

// `contexts` [n, pos] of any integer type. Throws DataError when the SAE does not fit the model.
SaeEvaluation evaluate_sae(const Sae& sae,
                           const Transformer& model,
                           const at::Tensor& contexts,
                           int64_t batch_contexts = 8);

}  // namespace rebound
