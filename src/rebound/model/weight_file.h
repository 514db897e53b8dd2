// The weights of one model in one file format, of expected shapes: matrices in the form wanted,
// the rest in float32.
//
// Every tensor that is read is remembered: what is left over at the end is a weight that this
// family does not know, and an error.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rebound/io/tensor_table.h"
#include "rebound/model/families.h"
#include "rebound/model/matrix.h"

namespace rebound {

enum class FileFormat { kHuggingFace, kGguf };

struct WeightForm {
  at::ScalarType dtype = at::kFloat;  // kFloat, kBFloat16 or kHalf
  // Ggml blocks and 16-bit floats stay as they are (matrix.h), whatever the dtype.
  bool keeps_stored = false;
};

class WeightFile {
 public:
  WeightFile(
      const TensorTable& tensors,
      FileFormat format,
      const Architecture& row,
      const WeightForm& form,
      std::shared_ptr<const void> mapping);  // that the tensors point into; kept by stored rows

  bool is_gguf() const { return format_ == FileFormat::kGguf; }
  bool has(const WeightName& weight, int64_t layer = 0) const;
  bool has_bias(const WeightName& weight, int64_t layer = 0) const;

  // [out, in]; rows of a rotary matrix of a GGUF file in their order in the model.
  Matrix matrix(const WeightName& weight, int64_t layer, int64_t out, int64_t in) const;
  Matrix rotary_matrix(
      const WeightName& weight, int64_t layer, int64_t n_heads, int64_t d_head, int64_t in) const;
  Matrix table(const WeightName& weight, int64_t rows, int64_t columns) const;  // embeddings
  at::Tensor gain(const WeightName& weight, int64_t layer, int64_t size) const;
  at::Tensor bias(const WeightName& weight, int64_t layer, int64_t size) const;

  // Throws DataError naming the first tensor that nobody read, unless it is one of those that
  // files carry without need (a copy of the tied head, causal masks, frequencies).
  void require_all_read(bool is_head_tied) const;

 private:
  const TensorView& find(const std::string& pattern, int64_t layer) const;
  const TensorView* find_or_null(const std::string& pattern, int64_t layer) const;
  void accept(const TensorView& view, const std::vector<int64_t>& shape) const;
  at::Tensor read(const TensorView& view, const std::vector<int64_t>& shape) const;
  Matrix read_matrix(const TensorView& view, int64_t rows, int64_t columns) const;
  const char* pattern_of(const WeightName& weight) const;

  const TensorTable& tensors_;
  FileFormat format_;
  const Architecture& row_;
  WeightForm form_;
  std::shared_ptr<const void> mapping_;
  mutable std::set<std::string> read_;
};

}  // namespace rebound
