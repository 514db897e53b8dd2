#include "doctor.h"

#include <gtest/gtest.h>

namespace rebound {
namespace {

constexpr const char* kCpuinfo =
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU @ 2 GHz\n"
    "flags\t\t: fpu avx avx2 fma avx512f\n\nprocessor\t: 1\nvendor_id\t: Other\n";

std::string maps_line(const std::string& path) {
  return "7f00-7f01 r-xp 00000000 fe:00 1234    " + path + "\n";
}

BlasKind kind_with(const std::string& path) {
  return find_blas(maps_line("/lib/libc.so.6") + maps_line(path)).kind;
}

MachineFacts healthy() {
  MachineFacts facts;
  facts.cpu.cores = 2;
  facts.threads = 2;
  facts.speed = {200, 400};
  facts.blas = {BlasKind::kOpenBlas, "/lib/openblas-pthread/libblas.so.3", ""};
  facts.models = {"models/a.gguf"};
  return facts;
}

TEST(DoctorTest, CpuinfoGivesModelVendorAndOnlyTheFeaturesThatMatter) {
  const CpuFacts cpu = parse_cpuinfo(kCpuinfo);
  EXPECT_EQ(cpu.model, "Some CPU @ 2 GHz");
  EXPECT_EQ(cpu.vendor, "GenuineIntel");
  EXPECT_EQ(cpu.features, (std::vector<std::string>{"avx2", "fma", "avx512f"}));
  EXPECT_FALSE(cpu.has("avx512_bf16"));
}

TEST(DoctorTest, EmptyCpuinfoGivesNoFeatures) { EXPECT_TRUE(parse_cpuinfo("").features.empty()); }

TEST(DoctorTest, BlasIsNamedByTheFolderThatHoldsIt) {
  EXPECT_EQ(kind_with("/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3"),
            BlasKind::kOpenBlas);
  EXPECT_EQ(kind_with("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0"), BlasKind::kReference);
  EXPECT_EQ(kind_with("/opt/intel/libmkl_rt.so.2"), BlasKind::kMkl);
  EXPECT_EQ(kind_with("/usr/lib/x86_64-linux-gnu/atlas/libblas.so.3"), BlasKind::kAtlas);
  EXPECT_EQ(kind_with("/usr/lib/libtorch_cpu.so"), BlasKind::kUnknown);
}

TEST(DoctorTest, TheLibraryThatLibTorchCallsCountsNotAnotherOneLoadedBeside) {
  const std::string maps = maps_line("/usr/lib/openblas-pthread/libopenblasp-r0.3.21.so") +
                           maps_line("/usr/lib/blas/libblas.so.3.11.0");
  EXPECT_EQ(find_blas(maps).kind, BlasKind::kReference);
}

TEST(DoctorTest, HealthyMachineHasNoWarnings) { EXPECT_TRUE(warnings_of(healthy()).empty()); }

TEST(DoctorTest, ReferenceBlasWarnsWithThePackageToInstall) {
  MachineFacts facts = healthy();
  facts.blas.kind = BlasKind::kReference;
  ASSERT_EQ(warnings_of(facts).size(), 1u);
  EXPECT_NE(warnings_of(facts)[0].fix.find("libopenblas0-pthread"), std::string::npos);
}

TEST(DoctorTest, ABuildWithoutOneDnnWarnsWhereLibTorchIsOld) {
  MachineFacts facts = healthy();
  facts.products = "LibTorch";
  facts.libtorch = "1.13.0";
  ASSERT_EQ(warnings_of(facts).size(), 1u);
  EXPECT_NE(warnings_of(facts)[0].fix.find("libdnnl-dev"), std::string::npos);
  facts.libtorch = "2.15.0";
  EXPECT_TRUE(warnings_of(facts).empty());
}

TEST(DoctorTest, SlowProductsWarnWhateverTheLibraryIsCalled) {
  MachineFacts facts = healthy();
  facts.speed.float32_gflops = 5;
  ASSERT_EQ(warnings_of(facts).size(), 1u);
  EXPECT_NE(warnings_of(facts)[0].problem.find("5 GFLOP/s"), std::string::npos);
}

TEST(DoctorTest, KernelsChosenByHandWithoutAvx512Warn) {
  MachineFacts facts = healthy();
  facts.cpu.features = {"avx2", "avx512f"};
  facts.blas.config = "OpenBLAS 0.3.21 DYNAMIC_ARCH Haswell MAX_THREADS=64";
  EXPECT_TRUE(warnings_of(facts).empty());  // its own choice
  facts.openblas_coretype = "Haswell";
  ASSERT_EQ(warnings_of(facts).size(), 1u);
  EXPECT_NE(warnings_of(facts)[0].problem.find("OPENBLAS_CORETYPE=Haswell"), std::string::npos);
  facts.blas.config = "OpenBLAS 0.3.21 DYNAMIC_ARCH SkylakeX MAX_THREADS=64";
  EXPECT_TRUE(warnings_of(facts).empty());
  facts.blas.config = "OpenBLAS 0.3.21 DYNAMIC_ARCH Haswell MAX_THREADS=64";
  facts.cpu.features = {"avx2"};
  EXPECT_TRUE(warnings_of(facts).empty());
}

TEST(DoctorTest, OneThreadOnManyCoresWarns) {
  MachineFacts facts = healthy();
  facts.threads = 1;
  ASSERT_EQ(warnings_of(facts).size(), 1u);
  EXPECT_NE(warnings_of(facts)[0].problem.find("1 thread in use of 2"), std::string::npos);
  facts.cpu.cores = 1;
  EXPECT_TRUE(warnings_of(facts).empty());
}

TEST(DoctorTest, WarningsStandInTextAndJson) {
  MachineFacts facts = healthy();
  facts.models.clear();
  EXPECT_NE(to_text(facts).find("fix: run scripts/fetch_default_model.sh"), std::string::npos);
  EXPECT_EQ(to_json(facts)["warnings"][0]["problem"], "no model found");
}

TEST(DoctorTest, ThisMachineMultipliesMatricesWithALoadedBlas) {
  const GemmSpeed speed = measure_gemm(64, 3);
  EXPECT_GT(speed.float32_gflops, 0);
  EXPECT_GT(speed.bfloat16_gflops, 0);
  EXPECT_NE(loaded_blas().kind, BlasKind::kUnknown);
}

}  // namespace
}  // namespace rebound
