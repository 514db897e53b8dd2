#include "rebound/model/device.h"

#include <dlfcn.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <optional>

#include "rebound/base/error.h"

namespace rebound {
namespace {

std::optional<at::Device> parsed_device(const std::string& name) {
  try {
    return at::Device(name);
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

// The driver's own library tells it; CUDA's headers are not needed then.
std::string gpu_name(int index) {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);
  if (driver == nullptr) return "";
  using Init = int (*)(unsigned);
  using Get = int (*)(int*, int);
  using GetName = int (*)(char*, int, int);
  const auto init = reinterpret_cast<Init>(dlsym(driver, "cuInit"));
  const auto get = reinterpret_cast<Get>(dlsym(driver, "cuDeviceGet"));
  const auto get_name = reinterpret_cast<GetName>(dlsym(driver, "cuDeviceGetName"));
  char name[256] = "";
  int gpu = 0;
  const bool is_known = init != nullptr && get != nullptr && get_name != nullptr && init(0) == 0 &&
                        get(&gpu, index) == 0 && get_name(name, sizeof name, gpu) == 0;
  dlclose(driver);
  return is_known ? name : "";
}

}  // namespace

at::Device device_named(const std::string& name, const std::string& where) {
  const std::optional<at::Device> device = parsed_device(name);
  require<ConfigError>(
      device.has_value(), where, ": got \"", name, "\", expected cpu, cuda or cuda:N");
  if (!device->is_cuda()) return *device;
  require<ConfigError>(at::detail::getCUDAHooks().hasCUDART(),
                       where,
                       ": got ",
                       name,
                       ", but this LibTorch " TORCH_VERSION
                       " has no CUDA; build with the PyPI wheel (cmake --workflow --preset wheel) "
                       "on a machine with a GPU");
  const auto count = static_cast<int64_t>(torch::cuda::device_count());
  const int64_t index = device->has_index() ? device->index() : 0;
  require<ConfigError>(count > 0,
                       where,
                       ": got ",
                       name,
                       ", but no GPU is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)");
  require<ConfigError>(index < count, where, ": got ", name, ", expected cuda:0..cuda:", count - 1);
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

std::string describe_device(at::Device device) {
  if (!device.is_cuda()) return device.str();
  const std::string name = gpu_name(device.has_index() ? device.index() : 0);
  return name.empty() ? device.str() : concat(device.str(), " (", name, ")");
}

}  // namespace rebound
