// Where and with what a run was made, for its summary.
#pragma once

#include "rebound/audit/subject.h"

namespace rebound {

// Versions, hashes, threads, BLAS, dtype. Costs and peak memory are added at the end of a run.
Json describe_build();  // versions, threads, BLAS, device
Json describe_environment(const Subject& subject, const AuditSpec& spec);

double peak_memory_bytes();   // of this process
double cpu_seconds();         // of this process, all threads
std::string loaded_blas_file();  // file name of the BLAS library in this process, "" if none

}  // namespace rebound
