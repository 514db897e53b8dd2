// Puts threads and BLAS kernels in order before any work: done once, by main(), where there is
// arithmetic to do.
#pragma once

#include <optional>
#include <string>

#include "doctor.h"

namespace rebound {

// The value of OPENBLAS_CORETYPE that beats OpenBLAS's own choice on this CPU, if one does.
// OpenBLAS 0.3.21 on AVX-512 Intel: 255 GFLOP/s by itself, 410-455 with SkylakeX; on AMD its own
// choice is within 7 % of the best, so nothing is returned there (docs/decisions/0004).
std::optional<std::string> better_openblas_core(const CpuFacts& cpu, const BlasFacts& blas);

// OpenBLAS and OpenMP read their variables while they load: sets OPENBLAS_CORETYPE as above and
// OMP_WAIT_POLICY=PASSIVE, and starts this program again in place. Threads that spin while they
// wait take the cores from those that work: evaluating an SAE took 20 s with, 11 s without.
// Returns when there is nothing to gain, the user set the variables, or the restart failed.
void restart_with_better_settings(char** argv);

// Tensors come and go by the thousand: pages given back to the kernel are soon asked for again.
// An attack step of 48 prompts took 169 ms before, 146 ms after.
void keep_freed_memory();

// `requested` threads; 0: OMP_NUM_THREADS if set, else every core this process may use.
// LibTorch and OpenBLAS both get the number. Returns it.
int set_threads(int requested);

}  // namespace rebound
