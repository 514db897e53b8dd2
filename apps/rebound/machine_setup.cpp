#include "machine_setup.h"

#include <ATen/Parallel.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

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

void restart_with_better_settings(char** argv) {
  bool is_changed = false;
  const auto set_unless_chosen = [&](const char* variable, const std::string& value) {
    if (std::getenv(variable) != nullptr) return;
    setenv(variable, value.c_str(), 1);
    is_changed = true;
  };
  const CpuFacts cpu = parse_cpuinfo(read_text_file("/proc/cpuinfo"));
  if (const auto core = better_openblas_core(cpu, loaded_blas()))
    set_unless_chosen(kCoreVariable, *core);
  set_unless_chosen("OMP_WAIT_POLICY", "PASSIVE");
  std::error_code error;
  // Its own path, not /proc/self/exe: that would be the program's name in ps and top.
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (is_changed && !error) execv(program.c_str(), argv);
}

void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024 * 1024);
  mallopt(M_TOP_PAD, 64 * 1024 * 1024);
}

int set_threads(int requested) {
  const int threads = requested > 0 ? requested : threads_by_default();
  at::set_num_threads(threads);
  set_blas_threads(threads);
  return threads;
}

}  // namespace rebound
