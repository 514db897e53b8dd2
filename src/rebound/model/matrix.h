// A weight matrix [rows, columns]: a dense tensor, or rows in the form in which a file stores them
// (ggml blocks, 16-bit floats), made float32 a block of rows at a time while they are used.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rebound/io/tensor_view.h"

namespace rebound {

// Rows below each other of one stored type.
struct StoredRows {
  DType type = DType::kF32;
  at::Tensor bytes;  // [rows, bytes of a row] uint8, contiguous, on the CPU

  int64_t rows() const { return bytes.size(0); }
  int64_t columns() const;
  // Rows [first, first + count) as float32.
  void widen(int64_t first, int64_t count, float* out) const;
};

class Matrix {
 public:
  Matrix() = default;
  Matrix(at::Tensor dense) : dense_(std::move(dense)) {}  // NOLINT: a tensor is a matrix
  // Throws DataError unless all have the same columns.
  explicit Matrix(std::vector<StoredRows> parts);

  // Below each other; dense if all are. Throws DataError for other columns.
  static Matrix stacked(const std::vector<Matrix>& matrices);

  bool defined() const { return dense_.defined() || is_stored(); }
  bool is_stored() const { return !parts_.empty(); }
  int64_t size(int64_t axis) const;
  int64_t bytes() const;                // that it takes in memory
  std::set<std::string> forms() const;  // {"float32"}, {"bfloat16"}, {"Q4_K", "Q6_K"}

  // The tensor itself. Throws ConfigError for a stored matrix.
  const at::Tensor& dense() const;
  at::Tensor& dense();
  operator const at::Tensor&() const { return dense(); }  // NOLINT: and the other way

  // Dense in float32 or bfloat16; float16 becomes stored rows on the CPU, where LibTorch has no
  // product of that type: their values are float16, products with them float32.
  Matrix to(at::ScalarType dtype) const;
  Matrix to(at::Device device) const;  // stored rows stay where they are

  // Rows in another order. [rows] int64; of a stored matrix that was not stacked.
  Matrix select_rows(const at::Tensor& index) const;
  // Rows by number as float32: [...] int64 -> [..., columns].
  at::Tensor rows(const at::Tensor& index) const;
  // x W^T for x [m, columns] float32: [m, rows] float32 (weight_product.h). Of stored rows in
  // float32; differentiable in x as often as wanted.
  at::Tensor product(const at::Tensor& x) const;

 private:
  at::Tensor dense_;
  std::vector<StoredRows> parts_;
};

}  // namespace rebound
