#include "machine_setup.h"

#include <ATen/Parallel.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "rebound/base/file.h"
#include "rebound/base/parallel.h"

namespace rebound {
namespace {

constexpr const char* kCoreVariable = "OPENBLAS_CORETYPE";

int threads_by_default() {
  if (const char* omp = std::getenv("OMP_NUM_THREADS")) {
    const int asked = std::atoi(omp);
    if (asked > 0) return asked;
  }
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace

std::optional<std::string> better_openblas_core(const CpuFacts& cpu, const BlasFacts& blas) {
  const bool has_choice = blas.kind == BlasKind::kOpenBlas && cpu.has("avx512f");
  if (!has_choice || cpu.vendor != "GenuineIntel") return std::nullopt;
  for (const char* fast : {"SkylakeX", "Cooperlake"}) {
    if (blas.config.find(fast) != std::string::npos) return std::nullopt;
  }
  return "SkylakeX";
}

void restart_with_better_kernels(char** argv) {
  if (std::getenv(kCoreVariable) != nullptr) return;
  const CpuFacts cpu = parse_cpuinfo(read_text_file("/proc/cpuinfo"));
  const auto core = better_openblas_core(cpu, loaded_blas());
  if (!core) return;
  setenv(kCoreVariable, core->c_str(), 1);
  execv("/proc/self/exe", argv);
}

int set_threads(int requested) {
  const int threads = requested > 0 ? requested : threads_by_default();
  at::set_num_threads(threads);
  set_blas_threads(threads);
  return threads;
}

}  // namespace rebound
