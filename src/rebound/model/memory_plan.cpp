#include "rebound/model/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/io/gguf.h"
#include "rebound/model/text_tower.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFloatBytes = 4, kHalfBytes = 2;
// What the libraries' own pages and pools grow by once a model runs: 91 to 126 MB measured.
constexpr int64_t kWarmUp = int64_t{144} << 20;

WeightBytes weight_bytes(const TensorTable& tensors) {
  WeightBytes bytes;
  for (const TensorView& tensor : tensors.tensors()) {
    const int64_t n = tensor.elements();
    const auto mapped = static_cast<int64_t>(tensor.bytes);
    const bool is_matrix = tensor.shape.size() > 1;
    const bool is_plain = tensor.dtype == DType::kF32;
    bytes.float32 += mapped + kFloatBytes * n;
    bytes.sixteen_bits += mapped + (is_matrix ? kHalfBytes : kFloatBytes) * n;
    bytes.stored += mapped + (is_plain ? kFloatBytes * n : 0);
  }
  return bytes;
}

// Sines and cosines of every position, and those of local layers.
int64_t rope_bytes(const ModelConfig& config) {
  if (config.has_position_embeddings) return 0;
  const bool has_two = config.has_sliding_layers() && config.rope_local_base_freq > 0;
  return (has_two ? 2 : 1) * 2 * kFloatBytes * config.max_position_embeddings *
         config.rotary_size();
}

}  // namespace

int64_t parse_bytes(const std::string& text) {
  const auto refuse = [&](const char* why) {
    throw ConfigError(concat("memory limit: got \"", text, "\", ", why));
  };
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  int64_t scale = 1;
  if (!unit.empty()) {
    const size_t power = std::string("KMG").find(static_cast<char>(std::toupper(unit[0])));
    const std::string rest = unit.substr(1);
    if (power == std::string::npos || !(rest.empty() || rest == "B" || rest == "iB")) {
      refuse("expected a number of bytes with K, M or G behind it, such as 1.5G");
    }
    scale <<= 10 * (power + 1);
  }
  constexpr double kMost = 1e18;
  if (end == text.c_str() || !(number > 0) || number * static_cast<double>(scale) > kMost) {
    refuse("expected a positive size such as 800M or 1.5G");
  }
  return static_cast<int64_t>(number * static_cast<double>(scale));
}

std::string bytes_text(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / (int64_t{1} << 30));
  return text;
}

WeightBytes WeightBytes::of(const std::string& path) {
  const int64_t rope = rope_bytes(read_config(path));
  WeightBytes bytes = fs::is_directory(path) ? weight_bytes(TextFolder{fs::path(path)})
                                             : weight_bytes(GgufFile{fs::path(path)});
  for (int64_t* form : {&bytes.float32, &bytes.sixteen_bits, &bytes.stored}) *form += rope;
  return bytes;
}

int64_t WeightBytes::in(const ModelLoadOptions& form) const {
  if (form.keeps_stored) return stored;
  return form.dtype == at::kFloat ? float32 : sixteen_bits;
}

int64_t run_bytes(const ModelConfig& config, const RunShape& shape) {
  const int64_t d = config.hidden_size, d_mlp = config.intermediate_size;
  const int64_t d_head = config.head_dim, n_kv = config.num_key_value_heads;
  const int64_t qkv = (config.num_attention_heads + 2 * n_kv) * d_head;
  const int64_t pattern = config.num_attention_heads * shape.keys;
  // One block: residual and normed copies, q k v before and after rotation, scores, mask and
  // softmax, the gate's two halves, their product and what it read.
  const int64_t block = 10 * d + 3 * qkv + 3 * pattern + 6 * d_mlp;
  const int64_t cache = 2 * n_kv * d_head * config.num_hidden_layers;
  const int64_t row = block * (1 + shape.kept_layers) + cache;
  const int64_t logits = shape.scored_rows * config.vocab_size * (shape.kept_layers > 0 ? 4 : 2);
  return kFloatBytes * (shape.rows * row + logits);
}

MemoryPlan plan_memory(const MemoryWish& wish, const WeightBytes& weights) {
  const int64_t program = resident_bytes() + kWarmUp;
  const int64_t usable = wish.limit - wish.limit / 16;  // the rest for what the allocator keeps
  std::vector<std::string> forms = {"float32", "stored", "float16"};
  if (!wish.dtype.empty()) forms = {wish.dtype};
  MemoryPlan best;
  best.at_once = 0;
  int64_t least = 0;
  for (const std::string& form : forms) {
    const int64_t taken = program + wish.fixed + weights.in(dtype_named(form));
    const int64_t left = usable - taken;
    const int64_t each = std::max<int64_t>(wish.bytes_each, 1);
    const int64_t n = std::min(wish.at_once, left > 0 ? left / each : 0);
    least = least == 0 ? taken + each : std::min(least, taken + each);
    if (n > best.at_once) {
      best = {.limit = wish.limit,
              .program = program,
              .weights = weights.in(dtype_named(form)),
              .fixed = wish.fixed,
              .working = n * each,
              .dtype = form,
              .at_once = n};
    }
    if (8 * best.at_once >= wish.at_once) break;
  }
  require<ConfigError>(
      best.at_once > 0,
      "memory limit: got ",
      bytes_text(wish.limit),
      ", expected at least ",
      bytes_text(least + least / 15),
      wish.dtype.empty() ? " for this model and run" : " for this model, run and --dtype");
  return best;
}

std::string MemoryPlan::text() const {
  return concat("memory: ",
                bytes_text(limit),
                " allowed, ",
                bytes_text(total()),
                " planned: program ",
                bytes_text(program),
                ", weights ",
                bytes_text(weights),
                " (",
                dtype,
                "), SAEs and caches ",
                bytes_text(fixed),
                ", ",
                at_once,
                " at once ",
                bytes_text(working));
}

Json MemoryPlan::to_json() const {
  return {{"limit_bytes", limit},
          {"planned_bytes", total()},
          {"program_bytes", program},
          {"weights_bytes", weights},
          {"fixed_bytes", fixed},
          {"working_bytes", working},
          {"dtype", dtype},
          {"at_once", at_once}};
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace rebound
