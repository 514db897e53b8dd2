#include "rebound/io/tensor_table.h"

#include <utility>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr size_t kNamesShown = 6;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < kNamesShown; ++i) {
    text += (i > 0 ? ", " : "") + quoted_name(names[i]);
  }
  if (names.size() > kNamesShown) text += concat(", ... (", names.size(), " in all)");
  return text;
}

}  // namespace

void TensorTable::add(TensorView tensor) {
  const bool is_new = index_.emplace(tensor.name, tensors_.size()).second;
  require<DataError>(is_new, "tensor ", quoted_name(tensor.name), " is there twice");
  tensors_.push_back(std::move(tensor));
}

const TensorView* TensorTable::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& TensorTable::get(std::string_view name) const {
  require_names({std::string(name)});
  return *find(name);
}

const TensorView& TensorTable::get(std::string_view name, const Shape& shape) const {
  const TensorView& tensor = get(name);
  require<DataError>(tensor.shape == shape,
                     "tensor ",
                     quoted_name(name),
                     ": got ",
                     shape_text(tensor.shape),
                     ", expected ",
                     shape_text(shape));
  return tensor;
}

void TensorTable::require_names(const std::vector<std::string>& names) const {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (find(name) == nullptr) missing.push_back(name);
  }
  require<DataError>(missing.empty(),
                     "missing tensor",
                     missing.size() > 1 ? "s " : " ",
                     joined(missing),
                     "; the file has ",
                     overview());
}

std::string TensorTable::overview() const {
  std::vector<std::string> names;
  for (const TensorView& tensor : tensors_) names.push_back(tensor.name);
  return names.empty() ? "no tensors" : joined(names);
}

}  // namespace rebound
