// Reads little-endian values from front to back; going past the end is a DataError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "rebound/base/error.h"

namespace rebound {

class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(uint64_t count) {
    require<DataError>(count <= remaining(),
                       "truncated: needs ",
                       count,
                       " bytes at byte ",
                       position_,
                       ", the file has ",
                       bytes_.size());
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return taken;
  }

  template <class T>
  T read() {
    static_assert(std::is_arithmetic_v<T>);
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  // Length u64, then that many bytes.
  std::string_view read_text() {
    const auto text = take(read<uint64_t>());
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  // A number of items of at least `least_bytes` each: refused when the rest cannot hold them.
  uint64_t read_count(size_t least_bytes, std::string_view what) {
    const uint64_t count = read<uint64_t>();
    require<DataError>(count <= remaining() / least_bytes,
                       what,
                       ": got ",
                       count,
                       ", more than the remaining ",
                       remaining(),
                       " bytes can hold");
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace rebound
