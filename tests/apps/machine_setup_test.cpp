#include "machine_setup.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace rebound {
namespace {

CpuFacts cpu_of(const std::string& vendor, std::vector<std::string> features) {
  CpuFacts cpu;
  cpu.vendor = vendor;
  cpu.features = std::move(features);
  return cpu;
}

BlasFacts open_blas(const std::string& core) {
  return {BlasKind::kOpenBlas, "/lib/libblas.so.3", "OpenBLAS 0.3.21 DYNAMIC_ARCH " + core};
}

TEST(MachineSetupTest, IntelWithAvx512AndSlowKernelsGetsSkylakeX) {
  const CpuFacts intel = cpu_of("GenuineIntel", {"avx2", "avx512f"});
  EXPECT_EQ(better_openblas_core(intel, open_blas("Haswell")), "SkylakeX");
}

TEST(MachineSetupTest, KernelsThatAreFastAlreadyStay) {
  const CpuFacts intel = cpu_of("GenuineIntel", {"avx512f"});
  EXPECT_FALSE(better_openblas_core(intel, open_blas("SkylakeX")));
  EXPECT_FALSE(better_openblas_core(intel, open_blas("Cooperlake")));
}

TEST(MachineSetupTest, OtherMachinesKeepTheirKernels) {
  const BlasFacts blas = open_blas("Haswell");
  EXPECT_FALSE(better_openblas_core(cpu_of("AuthenticAMD", {"avx512f"}), blas));
  EXPECT_FALSE(better_openblas_core(cpu_of("GenuineIntel", {"avx2"}), blas));
  const BlasFacts reference = {BlasKind::kReference, "/lib/libblas.so.3", ""};
  EXPECT_FALSE(better_openblas_core(cpu_of("GenuineIntel", {"avx512f"}), reference));
}

TEST(MachineSetupTest, ThreadsComeFromTheFlagThenTheVariable) {
  EXPECT_EQ(set_threads(1), 1);
  EXPECT_EQ(at::get_num_threads(), 1);
  setenv("OMP_NUM_THREADS", "2", 1);
  EXPECT_EQ(set_threads(0), 2);
  EXPECT_EQ(at::get_num_threads(), 2);
  unsetenv("OMP_NUM_THREADS");
  EXPECT_GE(set_threads(0), 1);
}

}  // namespace
}  // namespace rebound
