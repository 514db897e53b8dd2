// The named tensors of a file or of several shards; every reader of this layer is one:
//
//   const GgufFile file("model.gguf");                  // or SafetensorsFile, SafetensorsFolder
//   const TensorView& gain = file.get("output_norm.weight", {576});
//
// The views point into the file's mapping and live as long as the reader that made them.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rebound/io/tensor_view.h"

namespace rebound {

class TensorTable {
 public:
  // Throws DataError when the name is there already.
  void add(TensorView tensor);

  // In the order of the file.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // nullptr when there is no such tensor; stays valid until the next add().
  const TensorView* find(std::string_view name) const;
  // Throws DataError that names what is missing and shows some names that are there.
  const TensorView& get(std::string_view name) const;
  // The same, and DataError "x: got [2, 7], expected [2, 8]" on another shape.
  const TensorView& get(std::string_view name, const Shape& shape) const;
  // Throws one DataError that lists all missing names.
  void require_names(const std::vector<std::string>& names) const;

 private:
  std::string overview() const;

  std::vector<TensorView> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace rebound
