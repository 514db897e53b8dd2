#pragma once
// One key of a spec into its field.
#include "rebound/base/json.h"

namespace rebound {

// A key that is not there leaves the field's default.
template <class T>
void read_field(ObjectReader& in, const char* key, T& value) {
  value = in.get(key, value);
}

}  // namespace rebound
