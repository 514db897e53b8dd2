// Training a family and measuring its curve. In OUT, a folder for each budget:
//
//   6.3x/config.json, model.safetensors, tokenizer.json   a model that load_model reads
//   6.3x/training.json   {"plan", "held_out", "compute", "tokens", "parameters", ...}, written
//   last: a run with
//                        it is finished
//
// Runs are trained one after the other, the smallest first; a run cut short is started again.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "rebound/scaling/curve.h"
#include "rebound/scaling/family.h"

namespace rebound {

struct FamilyTraining {
  std::filesystem::path out;
  bool resume = false;  // keeps finished runs; ConfigError when one has another plan or text
  Json text = nullptr;  // names and hashes of the training text, into training.json
};

// `contexts` [n, context_length] int32, shuffled: every run starts at the first. ConfigError when
// they are too few for the largest, and for a folder with finished runs without `resume`.
void train_family(const at::Tensor& contexts,
                  const FamilyOptions& options,
                  const FamilyTraining& training);

// Measures every finished run in `folder` with the engine and makes their curve. Throws DataError
// for no run, IoError for a file that is not there.
ScalingCurve measure_family(const std::filesystem::path& folder,
                            const at::Tensor& contexts,
                            const CurveText& text);

}  // namespace rebound
