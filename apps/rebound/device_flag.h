#pragma once
// The value of --device.
#include <utility>

#include "rebound/model/device.h"
#include "rebound/model/transformer.h"
#include "verb.h"

namespace rebound {

inline Transformer on_flag_device(Transformer model, const CommonFlags& common) {
  const at::Device device = device_named(common.device, "--device");
  return device.is_cpu() ? std::move(model) : model.to(device);
}

}  // namespace rebound
