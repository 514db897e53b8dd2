// Where tensors live. Token ids, index lists and labels are CPU tensors at every public call, and
// the model moves them to its own device; there are weights, activations, perturbations and SAEs.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "rebound/model/transformer.h"

namespace rebound {

// "cpu", "cuda" (the first GPU), "cuda:1", or another device that LibTorch knows. Throws
// ConfigError, beginning with `where`, for any other name and for a GPU that is not there.
at::Device device_named(const std::string& name, const std::string& where = "device");

// "cpu", or "cuda:0 (NVIDIA H100 80GB HBM3)" where the driver tells the name.
std::string describe_device(at::Device device);

// The same prompts with ids and rows() on `device`.
inline TokenBatch on_device(const TokenBatch& batch, at::Device device) {
  return {batch.ids.to(device), batch.lengths};
}

}  // namespace rebound
