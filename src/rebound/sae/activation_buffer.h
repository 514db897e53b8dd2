// Harvested activations on disk: rows of d bfloat16 values, appended by the harvest, then mapped
// and read in any order by the trainer. What is in memory is the system's page cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

#include "rebound/io/mapped_file.h"

namespace rebound {

class ActivationWriter {
 public:
  // Keeps the first `rows` rows of an existing file and drops the rest. Throws IoError.
  ActivationWriter(std::filesystem::path path, int64_t d, int64_t rows);

  void append(const at::Tensor& x);  // [n, d]
  void flush();
  int64_t rows() const { return rows_; }

 private:
  std::filesystem::path path_;
  std::ofstream out_;
  int64_t d_;
  int64_t rows_;
};

class ActivationBuffer {
 public:
  // Throws DataError when the file holds fewer rows.
  ActivationBuffer(const std::filesystem::path& path, int64_t d, int64_t rows);

  int64_t rows() const { return rows_; }
  at::Tensor gather(const int64_t* index, int64_t n) const;  // [n, d] float32
  at::Tensor first(int64_t n) const;                         // [n, d] float32

 private:
  MappedFile file_;
  int64_t d_;
  int64_t rows_;
};

// The order in which one pass reads the rows.
std::vector<int64_t> shuffled_rows(int64_t rows, uint64_t seed, int64_t pass);

}  // namespace rebound
