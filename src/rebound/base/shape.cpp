#include "rebound/base/shape.h"

#include <string>

#include "rebound/base/error.h"

namespace rebound {

void check_shape(std::string_view what, const at::Tensor& tensor, const std::vector<Axis>& axes) {
  bool matches = tensor.defined() && tensor.dim() == static_cast<int64_t>(axes.size());
  for (size_t i = 0; matches && i < axes.size(); ++i) {
    matches = axes[i].size < 0 || axes[i].size == tensor.size(static_cast<int64_t>(i));
  }
  if (matches) return;
  std::string expected;
  for (const Axis& axis : axes) {
    if (!expected.empty()) expected += ", ";
    expected += axis.name;
    if (axis.size >= 0) expected += "=" + std::to_string(axis.size);
  }
  const std::string got = tensor.defined() ? concat(tensor.sizes()) : "no tensor";
  throw DataError(concat(what, ": got ", got, ", expected [", expected, "]"));
}

}  // namespace rebound
