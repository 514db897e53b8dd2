// A probe that was fitted once and reads a residual stream from then on: the independent monitor of
// base, defended and recovered runs.
//
//   score = w . pool(tokens at the site that count) + b        > 0: the positive class
//
// It is fitted on the plain model and never sees the clamp, so that what it still reads behind one
// is information that the clamp left (or, of a recovery, that the perturbation brought back).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rebound/model/site.h"
#include "rebound/probe/pooling.h"
#include "rebound/stats/samples.h"

namespace rebound {

struct FittedProbe {
  std::string task;
  Site site;
  Pooler pooler;
  LinearModel model;  // of raw residuals, [d_model]
};

// resid [batch, pos, d_model] at the probe's site; is_counted [batch, pos] bool says which tokens
// are pooled: real ones that are no sink. For comparing states of one batch give all of them the
// mask of the base state (counted_tokens of sae/sinks.h). Throws DataError on shapes and for an
// example without such a token.
std::vector<double> monitor_scores(const FittedProbe& probe,
                                   const at::Tensor& resid,
                                   const at::Tensor& is_counted);

// One .safetensors file: "weight" [d_model] and "intercept" [1] in double; task, hook and pool in
// its metadata. Reading throws DataError on another form.
void save_probe(const FittedProbe& probe, const std::filesystem::path& path);
FittedProbe load_probe(const std::filesystem::path& path);

}  // namespace rebound
