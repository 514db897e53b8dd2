// What runs on every device: the strict one (strict_device.h), which every machine has, and a GPU,
// whose tests are skipped with a reason where there is none. Expected values come from the CPU.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <string>

#include "device/strict_device.h"

namespace rebound {

inline constexpr const char* kStrictDevice = "strict";
inline constexpr const char* kGpu = "cuda";

// Of float32 values computed on two devices, relative to the largest one (relative_gap).
inline constexpr double kDeviceGap = 1e-4;

// Why tests of this device are skipped; empty: they are not.
inline std::string why_no_device(const std::string& name) {
  if (torch::cuda::is_available()) return "";
  if (name == kGpu) {
    return "needs a GPU and a LibTorch with CUDA (docs/device.md); LibTorch " TORCH_VERSION
           " sees none here";
  }
  // LibTorch 2 asks CUDA for a stream in every backward pass that leaves the CPU.
  if (TORCH_VERSION_MAJOR >= 2 && at::detail::getCUDAHooks().hasCUDART()) {
    return "needs a driver for this LibTorch " TORCH_VERSION ", which is built with CUDA";
  }
  return "";
}

inline at::Device device_of(const std::string& name) {
  return name == kGpu ? at::Device(at::kCUDA, 0) : strict_device();
}

class DeviceTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_device(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
  at::Device device() const { return device_of(GetParam()); }
};

inline std::string name_of_device(const ::testing::TestParamInfo<const char*>& info) {
  return info.param;
}

}  // namespace rebound
