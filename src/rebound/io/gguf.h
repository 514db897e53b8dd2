// GGUF versions 2 and 3 (little endian): typed metadata and tensors.
//
//   "GGUF" | version u32 | tensor count u64 | key count u64
//   per key     name, type u32, value              (string: length u64, bytes)
//   per tensor  name, n_dims u32, sizes u64 (innermost first), ggml type u32, offset u64
//   padding to general.alignment (32 unless given), then the tensor bytes
//
// A file that disagrees with itself is a DataError, one that cannot be read an IoError; both name
// the path. Values stay in the mapping until asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rebound/io/mapped_file.h"
#include "rebound/io/tensor_table.h"

namespace rebound {

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// A value as it lies in the file; `bytes` was checked to hold `count` elements.
struct GgufValue {
  GgufType type = GgufType::kU8;  // of the elements, never kArray
  bool is_array = false;
  uint64_t count = 1;
  std::span<const std::byte> bytes;
};

// Metadata by key. A key that is not there is nothing; one of another type is a DataError such as
// `llama.block_count: got string, expected an integer >= 0`.
class GgufMetadata {
 public:
  // Throws DataError when the key is there already.
  void add(std::string key, GgufValue value);

  const std::vector<std::string>& keys() const { return keys_; }  // in the order of the file
  bool has(std::string_view key) const { return find(key) != nullptr; }

  std::optional<uint64_t> integer(std::string_view key) const;  // any integer type, >= 0
  std::optional<double> number(std::string_view key) const;     // any integer or float type
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<double>> floats(std::string_view key) const;  // or integers
  std::optional<std::vector<bool>> booleans(std::string_view key) const;
  std::optional<std::vector<std::string>> strings(std::string_view key) const;

  // For people: `30`, `"llama"` (shortened), `string[49152]`. Throws DataError on a missing key.
  std::string describe(std::string_view key) const;

 private:
  const GgufValue* find(std::string_view key) const;

  std::vector<std::string> keys_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

struct GgufContent {
  uint32_t version = 0;
  GgufMetadata metadata;  // both point into the bytes given to parse_gguf
  TensorTable tensors;
};

GgufContent parse_gguf(std::span<const std::byte> bytes);

// file.get("token_embd.weight"), file.integer("llama.block_count"), ...
class GgufFile : public TensorTable, public GgufMetadata {
 public:
  explicit GgufFile(const std::filesystem::path& path);
  uint32_t version() const { return version_; }

 private:
  MappedFile file_;
  uint32_t version_ = 0;
};

}  // namespace rebound
