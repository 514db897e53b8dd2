// Puts threads and BLAS kernels in order before any work: done once, by main().
#pragma once

#include <optional>
#include <string>

#include "doctor.h"

namespace rebound {

// The value of OPENBLAS_CORETYPE that beats OpenBLAS's own choice on this CPU, if one does.
// OpenBLAS 0.3.21 on AVX-512 Intel: 255 GFLOP/s by itself, 410-455 with SkylakeX; on AMD its own
// choice is within 7 % of the best, so nothing is returned there (docs/decisions/0004).
std::optional<std::string> better_openblas_core(const CpuFacts& cpu, const BlasFacts& blas);

// OpenBLAS reads the variable while it loads: sets it and starts this program again in place.
// Returns when there is nothing to gain, the user set the variable, or the restart failed.
void restart_with_better_kernels(char** argv);

// `requested` threads; 0: OMP_NUM_THREADS if set, else every core this process may use.
// LibTorch and OpenBLAS both get the number. Returns it.
int set_threads(int requested);

}  // namespace rebound
