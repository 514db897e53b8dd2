// What this machine offers rebound, and what slows it down: facts in, warnings with their fix out.
//
//   const MachineFacts facts = examine_machine();
//   std::cout << to_text(facts);            // or to_json(facts)
//
// Everything that parses takes the text it parses, so that tests can show it other machines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

struct CpuFacts {
  std::string model;                  // "model name" of /proc/cpuinfo
  std::string vendor;                 // "GenuineIntel", "AuthenticAMD"
  int64_t cores = 0;                  // logical ones this process may use
  std::vector<std::string> features;  // those that matter here: avx2, fma, avx512f, ...
  bool has(const std::string& feature) const;
};

enum class BlasKind { kOpenBlas, kMkl, kBlis, kAtlas, kReference, kInsideLibTorch, kUnknown };

struct BlasFacts {
  BlasKind kind = BlasKind::kUnknown;
  std::string path;    // of the loaded library, links resolved; empty when inside LibTorch
  std::string config;  // what the library says of itself: version and kernels
};

// Of C = A B with 1024 x 1024 matrices, median of several.
struct GemmSpeed {
  double float32_gflops = 0;  // 1e9 floating-point operations per second
  double bfloat16_gflops = 0;
};

struct MachineFacts {
  CpuFacts cpu;
  BlasFacts blas;
  GemmSpeed speed;
  int64_t threads = 0;          // LibTorch's, after main() has set them
  std::string omp_num_threads;  // the variable as it was at the start; empty: unset
  std::string openblas_coretype;  // the same of OPENBLAS_CORETYPE
  std::string libtorch;         // version
  std::string products = "oneDNN";  // library of products with weights: "oneDNN 2.6.3", "LibTorch"
  bool has_cuda = false;  // LibTorch was built with it
  std::vector<std::string> gpus;  // "cuda:0 (NVIDIA H100 80GB HBM3)"
  double memory_gb = 0;             // 1e9 bytes
  std::vector<std::string> models;  // paths found
  std::vector<std::string> saes;
};

struct Warning {
  std::string problem;
  std::string fix;
};

CpuFacts parse_cpuinfo(const std::string& cpuinfo);

// The BLAS among the libraries of a /proc/self/maps text.
BlasFacts find_blas(const std::string& maps);

// The one loaded now, asked for its configuration.
BlasFacts loaded_blas();

GemmSpeed measure_gemm(int64_t size = 1024, int repeats = 7);

// Model files (*.gguf, folders with config.json) and SAE folders (cfg.json) in the places where
// rebound looks: models/ and assets/sae/ here and beside the program, ~/.cache/rebound.
void find_files(MachineFacts& facts);

MachineFacts examine_machine();

// Slow BLAS or kernels, one thread, no model. Empty when all is well.
std::vector<Warning> warnings_of(const MachineFacts& facts);

Json to_json(const MachineFacts& facts);
std::string to_text(const MachineFacts& facts);

}  // namespace rebound
