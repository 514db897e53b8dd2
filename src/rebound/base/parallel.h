// Independent parts of one batch on several threads, each with one BLAS and one LibTorch thread.
//
// A transformer step on a few dozen rows is a chain of small products: threads inside each product
// wait for each other more than they work (measured: docs/decisions/0008-parallel-parts.md), threads
// over examples do not.
#pragma once

#include <cstdint>
#include <functional>

namespace rebound {

// LibTorch's number of threads, at most what limit_workers said.
int64_t worker_count();

// Of this process from now on. 1 for a GPU: one stream of whole batches beats several of parts.
void limit_workers(int64_t most);

// Calls part(0) .. part(n - 1), at most worker_count() at a time. An exception of a part is thrown
// again here, the lowest part's first. Results must not depend on the order of parts. Grad mode is
// that of the caller.
void run_parts(int64_t n, const std::function<void(int64_t)>& part);

// Calls body(begin, end) for at most worker_count() ranges that make up 0 .. n - 1, of `grain` each at
// least, side by side: for plain loops, which ask LibTorch for nothing. (at::parallel_for runs on one
// thread in code that is compiled without OpenMP, as this is.)
void run_ranges(int64_t n, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

// OpenBLAS with its own threads does not hear of LibTorch's setting; no-op for another BLAS.
void set_blas_threads(int threads);

}  // namespace rebound
