// A device that is not the CPU, for machines without a GPU: LibTorch's key for private backends
// (PrivateUse1, device "privateuseone:0"). Its arithmetic is the CPU's, its manners are a GPU's:
//
//   a pointer to its memory is no address: code that reads it through data_ptr crashes;
//   an operation whose tensors lie on both devices throws, but for 0-dimensional CPU tensors,
//   which LibTorch's GPU code takes too;
//   copy_, to and cpu are the ways across, item() reads one number.
//
// Composite operations run as LibTorch composes them for any device; backward passes run on a
// thread of the device, as they do for a GPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace rebound {

// Registers it with LibTorch on the first call.
at::Device strict_device();

}  // namespace rebound
