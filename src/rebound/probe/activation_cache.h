// Activations of many texts at one site, in memory up to a stated size and in memory-mapped
// safetensors files beyond it. What is read back is what was put in, bit for bit, in both places.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "rebound/io/safetensors.h"

namespace rebound {

struct CacheOptions {
  int64_t memory_bytes = int64_t{512} << 20;
  // Beside memory_bytes, what waits to be written: at most one chunk.
  int64_t chunk_bytes = int64_t{16} << 20;
  std::filesystem::path folder;  // for the files; empty: the system's folder for temporary files

  void validate() const;
};

class ActivationCache {
 public:
  ActivationCache(int64_t texts, int64_t d_model, CacheOptions options = {});
  ~ActivationCache();  // removes its files
  ActivationCache(const ActivationCache&) = delete;
  ActivationCache& operator=(const ActivationCache&) = delete;

  // Each text once, in any order. tokens [tokens, d_model], kept as float32. Throws IoError when a
  // file cannot be written.
  void put(int64_t text, const at::Tensor& tokens);
  at::Tensor tokens(int64_t text) const;  // [tokens, d_model] float32

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t d_model() const { return d_model_; }
  int64_t bytes_in_memory() const { return memory_bytes_; }  // the waiting chunk left out
  int64_t bytes_on_disk() const { return disk_bytes_; }
  int64_t token_count() const { return token_count_; }

 private:
  struct Entry {
    at::Tensor tokens;  // undefined once written
    int64_t file = -1;
  };
  void flush();
  void make_folder();

  int64_t d_model_;
  CacheOptions options_;
  std::vector<Entry> entries_;
  std::vector<int64_t> waiting_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::filesystem::path own_folder_;
  int64_t memory_bytes_ = 0, waiting_bytes_ = 0, disk_bytes_ = 0, token_count_ = 0;
};

}  // namespace rebound
