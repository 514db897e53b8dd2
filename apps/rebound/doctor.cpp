#include "doctor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sched.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/model/device.h"
#include "rebound/model/weight_product.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFeatures = {
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16"};

// "key : value" of the first such line, empty if none.
std::string cpuinfo_field(const std::string& cpuinfo, const std::string& key) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.rfind(key, 0) != 0) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

int64_t usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return 1;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Netlib's reference library is named libblas and lies in no other library's folder.
BlasKind kind_of_library(const std::string& path) {
  if (contains(path, "openblas")) return BlasKind::kOpenBlas;
  if (contains(path, "libmkl_")) return BlasKind::kMkl;
  if (contains(path, "blis")) return BlasKind::kBlis;
  if (contains(path, "atlas")) return BlasKind::kAtlas;
  const std::string file = fs::path(path).filename().string();
  if (file.rfind("libblas.so", 0) == 0) return BlasKind::kReference;
  return BlasKind::kUnknown;
}

const char* name_of(BlasKind kind) {
  switch (kind) {
    case BlasKind::kOpenBlas:
      return "OpenBLAS";
    case BlasKind::kMkl:
      return "MKL";
    case BlasKind::kBlis:
      return "BLIS";
    case BlasKind::kAtlas:
      return "ATLAS";
    case BlasKind::kReference:
      return "reference (Netlib)";
    case BlasKind::kInsideLibTorch:
      return "inside LibTorch";
    case BlasKind::kUnknown:
      break;
  }
  return "unknown";
}

double gflops(at::ScalarType dtype, int64_t size, int repeats) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = at::randn({size, size}).to(dtype);
  const at::Tensor b = at::randn({size, size}).to(dtype);
  at::matmul(a, b);
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    at::matmul(a, b);
    const auto stop = std::chrono::steady_clock::now();
    seconds.push_back(std::chrono::duration<double>(stop - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  const double n = static_cast<double>(size);
  return 2.0 * n * n * n / seconds[repeats / 2] / 1e9;
}

double memory_gb() {
  std::istringstream fields(read_text_file("/proc/meminfo"));
  std::string key;
  double kibibytes = 0;
  fields >> key >> kibibytes;
  return kibibytes * 1024 / 1e9;
}

std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (!at::globalContext().hasCUDA()) return gpus;
  const auto count = at::detail::getCUDAHooks().getNumGPUs();
  for (int64_t i = 0; i < count; ++i) {
    gpus.push_back(describe_device({at::kCUDA, static_cast<at::DeviceIndex>(i)}));
  }
  return gpus;
}

std::vector<fs::path> search_places() {
  std::vector<fs::path> places = {"."};
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!ignored) places.push_back(program.parent_path().parent_path().parent_path());
  return places;
}

void collect(const fs::path& folder, MachineFacts& facts, std::set<fs::path>& seen) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const fs::path path = entry.path();
    const bool is_model = path.extension() == ".gguf" || fs::exists(path / "config.json", ignored);
    const bool is_sae = fs::exists(path / "cfg.json", ignored);
    if (!is_model && !is_sae) continue;
    if (!seen.insert(fs::weakly_canonical(path, ignored)).second) continue;
    (is_model ? facts.models : facts.saes).push_back(path.lexically_normal().string());
  }
}

std::string joined(const std::vector<std::string>& parts, const std::string& none) {
  if (parts.empty()) return none;
  std::string text = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) text += ", " + parts[i];
  return text;
}

}  // namespace

bool CpuFacts::has(const std::string& feature) const {
  return std::find(features.begin(), features.end(), feature) != features.end();
}

CpuFacts parse_cpuinfo(const std::string& cpuinfo) {
  CpuFacts cpu;
  cpu.model = cpuinfo_field(cpuinfo, "model name");
  cpu.vendor = cpuinfo_field(cpuinfo, "vendor_id");
  std::istringstream words(cpuinfo_field(cpuinfo, "flags"));
  const std::set<std::string> flags{std::istream_iterator<std::string>(words), {}};
  for (const char* feature : kFeatures) {
    if (flags.count(feature) > 0) cpu.features.push_back(feature);
  }
  return cpu;
}

BlasFacts find_blas(const std::string& maps) {
  BlasFacts found;
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    const size_t slash = line.find('/');
    if (slash == std::string::npos) continue;
    const std::string path = line.substr(slash);
    const std::string file = fs::path(path).filename().string();
    // libopenblas may come with another library that LibTorch links; libblas.so.3 is what it calls.
    const bool is_interface = file.rfind("libblas.so", 0) == 0;
    const BlasKind kind = kind_of_library(path);
    if (kind == BlasKind::kUnknown) continue;
    if (found.path.empty() || is_interface) found = {kind, path, ""};
    if (is_interface) break;
  }
  return found;
}

BlasFacts loaded_blas() {
  BlasFacts blas = find_blas(read_text_file("/proc/self/maps"));
  if (blas.path.empty() && at::globalContext().hasMKL()) blas.kind = BlasKind::kInsideLibTorch;
  void* library = blas.path.empty() ? nullptr : dlopen(blas.path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return blas;
  using GetConfig = char* (*)();
  const auto get_config = reinterpret_cast<GetConfig>(dlsym(library, "openblas_get_config"));
  if (get_config != nullptr) blas.config = get_config();
  dlclose(library);
  return blas;
}

GemmSpeed measure_gemm(int64_t size, int repeats) {
  return {gflops(at::kFloat, size, repeats), gflops(at::kBFloat16, size, repeats)};
}

void find_files(MachineFacts& facts) {
  std::set<fs::path> seen;
  for (const fs::path& place : search_places()) {
    collect(place / "models", facts, seen);
    collect(place / "assets/sae", facts, seen);
  }
  if (const char* home = std::getenv("HOME"))
    collect(fs::path(home) / ".cache/rebound", facts, seen);
  std::sort(facts.models.begin(), facts.models.end());
  std::sort(facts.saes.begin(), facts.saes.end());
}

MachineFacts examine_machine() {
  MachineFacts facts;
  facts.cpu = parse_cpuinfo(read_text_file("/proc/cpuinfo"));
  facts.cpu.cores = usable_cores();
  facts.speed = measure_gemm();
  facts.blas = loaded_blas();
  facts.threads = at::get_num_threads();
  if (const char* omp = std::getenv("OMP_NUM_THREADS")) facts.omp_num_threads = omp;
  if (const char* core = std::getenv("OPENBLAS_CORETYPE")) facts.openblas_coretype = core;
  facts.libtorch = TORCH_VERSION;
  facts.products = weight_product_library();
  facts.has_cuda = at::detail::getCUDAHooks().hasCUDART();
  facts.gpus = visible_gpus();
  facts.memory_gb = memory_gb();
  find_files(facts);
  return facts;
}

std::vector<Warning> warnings_of(const MachineFacts& facts) {
  // Reference BLAS reached 4.9 GFLOP/s on two cores where OpenBLAS reached 255.
  constexpr double kSlowGflopsPerCore = 10;
  std::vector<Warning> warnings;
  if (facts.blas.kind == BlasKind::kReference) {
    warnings.push_back({concat("the BLAS in use is the slow reference one, ", facts.blas.path),
                        "apt install libopenblas0-pthread"});
  } else if (facts.speed.float32_gflops < kSlowGflopsPerCore * facts.threads) {
    warnings.push_back({concat("float32 matrix products reach only ",
                               static_cast<int64_t>(facts.speed.float32_gflops),
                               " GFLOP/s"),
                        "install an optimised BLAS (Debian: apt install libopenblas0-pthread), and "
                        "check that nothing else is running"});
  }
  const auto runs = [&](const char* kernels) { return facts.blas.config.find(kernels) != std::string::npos; };
  if (!facts.openblas_coretype.empty() && facts.cpu.has("avx512f") &&
      !(runs("SkylakeX") || runs("Cooperlake") || runs("SapphireRapids"))) {
    warnings.push_back({concat("OPENBLAS_CORETYPE=", facts.openblas_coretype,
                               " keeps OpenBLAS from the AVX-512 of this CPU: up to half the speed"),
                        "unset OPENBLAS_CORETYPE"});
  }
  // LibTorch 2 has a fast road of its own.
  if (facts.products == "LibTorch" && facts.libtorch.rfind("1.", 0) == 0) {
    warnings.push_back({"built without oneDNN: answers and attack steps take up to twice the time",
                        "apt install libdnnl-dev, and build again"});
  }
  if (facts.threads < 2 && facts.cpu.cores > 1) {
    warnings.push_back({concat("1 thread in use of ", facts.cpu.cores, " cores"),
                        concat("give --threads ", facts.cpu.cores, ", or unset OMP_NUM_THREADS")});
  }
  if (facts.models.empty()) {
    warnings.push_back({"no model found", "run scripts/fetch_default_model.sh"});
  }
  return warnings;
}

Json to_json(const MachineFacts& facts) {
  Json warnings = Json::array();
  for (const Warning& w : warnings_of(facts)) {
    warnings.push_back({{"problem", w.problem}, {"fix", w.fix}});
  }
  return {{"cpu",
           {{"model", facts.cpu.model},
            {"vendor", facts.cpu.vendor},
            {"cores", facts.cpu.cores},
            {"features", facts.cpu.features}}},
          {"memory_gb", facts.memory_gb},
          {"threads", facts.threads},
          {"omp_num_threads", facts.omp_num_threads.empty() ? Json() : Json(facts.omp_num_threads)},
          {"blas",
           {{"kind", name_of(facts.blas.kind)},
            {"path", facts.blas.path},
            {"config", facts.blas.config}}},
          {"gflops",
           {{"float32", facts.speed.float32_gflops}, {"bfloat16", facts.speed.bfloat16_gflops}}},
          {"libtorch", facts.libtorch},
          {"products", facts.products},
          {"has_cuda", facts.has_cuda},
          {"gpus", facts.gpus},
          {"models", facts.models},
          {"saes", facts.saes},
          {"warnings", warnings}};
}

std::string to_text(const MachineFacts& facts) {
  std::ostringstream out;
  out.precision(0);
  out << std::fixed;
  out << "CPU       " << facts.cpu.model << ", " << facts.cpu.cores << " cores, " << facts.memory_gb
      << " GB memory\n"
      << "features  " << joined(facts.cpu.features, "none that matter here") << "\n"
      << "threads   " << facts.threads << " (OMP_NUM_THREADS "
      << (facts.omp_num_threads.empty() ? "not set" : facts.omp_num_threads) << ")\n"
      << "BLAS      " << name_of(facts.blas.kind) << "  " << facts.blas.path << "\n";
  if (!facts.blas.config.empty()) out << "          " << facts.blas.config << "\n";
  out << "speed     " << facts.speed.float32_gflops << " GFLOP/s float32, "
      << facts.speed.bfloat16_gflops << " GFLOP/s bfloat16 (1024 x 1024 matrix product)\n"
      << "LibTorch  " << facts.libtorch << "\n"
      << "products  " << facts.products << "\n"
      << "CUDA      "
      << joined(facts.gpus,
                facts.has_cuda ? "no GPU visible" : "none: this LibTorch is built without it")
      << "\n"
      << "models    " << joined(facts.models, "none found") << "\n"
      << "SAEs      " << joined(facts.saes, "none found") << "\n";
  for (const Warning& w : warnings_of(facts)) {
    out << "warning   " << w.problem << "\n          fix: " << w.fix << "\n";
  }
  if (warnings_of(facts).empty()) out << "all well\n";
  return out.str();
}

}  // namespace rebound
