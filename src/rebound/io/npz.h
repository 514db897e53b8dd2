// NumPy's .npz: a zip archive of .npy arrays, as Gemma Scope's params.npz.
//
//   0x93 "NUMPY" major minor  header length (u16, from version 2 on u32)
//   {'descr': '<f4', 'fortran_order': False, 'shape': (12, 30), }  padding  data
//
// Read are little-endian floats of 2, 4, 8 bytes, integers and booleans. Fortran order of a matrix
// is brought to C order. Object arrays (pickled code) and everything else are refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "rebound/io/mapped_file.h"
#include "rebound/io/tensor_table.h"

namespace rebound {

struct NpzContent {
  TensorTable tensors;                        // named without ".npy"
  std::vector<std::vector<std::byte>> owned;  // what had to be inflated or reordered
};

// The tensors point into `bytes` or into `owned`. Throws DataError.
NpzContent parse_npz(std::span<const std::byte> bytes);

// One .npy array; `owned` takes a reordered copy where one is needed.
TensorView parse_npy(std::span<const std::byte> bytes,
                     std::string name,
                     std::vector<std::vector<std::byte>>& owned);

class NpzFile : public TensorTable {
 public:
  explicit NpzFile(const std::filesystem::path& path);

 private:
  MappedFile file_;
  std::vector<std::vector<std::byte>> owned_;
};

}  // namespace rebound
