#include "rebound/audit/environment.h"

#include <sys/resource.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <filesystem>
#include <fstream>

#include "rebound/audit/build_version.h"
#include "rebound/model/device.h"
#include "rebound/model/precision_gap.h"

namespace rebound {

Json describe_build() {
  return {{"rebound", kBuildVersion},
          {"libtorch", TORCH_VERSION},
          {"threads", at::get_num_threads()},
          {"blas", loaded_blas_file()},
          {"device", "cpu"}};
}

Json describe_environment(const Subject& subject, const AuditSpec& spec) {
  const auto hash = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json environment = describe_build();
  environment["dtype"] = spec.dtype;
  environment["device"] = describe_device(subject.model->device());
  if (subject.search != subject.model && !subject.prompts.test.empty()) {
    environment["precision"] =
        precision_gap(*subject.search, *subject.model, subject.prompts.test.front().ids).to_json();
  }
  environment["seed"] = spec.seed;
  environment["model_sha256"] = hash(subject.model_sha256);
  environment["sae_sha256"] = hash(subject.sae_sha256);
  return environment;
}

double peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string loaded_blas_file() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    const size_t slash = line.find('/');
    if (slash == std::string::npos) continue;
    const std::string name = std::filesystem::path(line.substr(slash)).filename().string();
    if (name.starts_with("libopenblas") || name.starts_with("libblas") ||
        name.starts_with("libmkl_core"))
      return name;
  }
  return "";
}

}  // namespace rebound
