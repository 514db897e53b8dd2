#pragma once
// The value of --dtype.
#include <c10/core/ScalarType.h>

#include <string>

#include "rebound/base/error.h"

namespace rebound {

inline at::ScalarType dtype_named(const std::string& name) {
  require<ConfigError>(name == "float32" || name == "bfloat16",
                       "dtype: got ",
                       name,
                       ", expected float32 or bfloat16");
  return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

}  // namespace rebound
