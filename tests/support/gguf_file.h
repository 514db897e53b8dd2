// GGUF files of a few keys, for the tests of several layers.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace rebound {

// GgufKeys().add("llama.block_count", 3u).add("general.name", "Phi-3")
class GgufKeys {
 public:
  GgufKeys& add(const std::string& key, uint32_t value) { return put(key, kU32, raw(value)); }
  GgufKeys& add(const std::string& key, bool value) {
    return put(key, kBool, std::string(1, value ? 1 : 0));
  }
  GgufKeys& add(const std::string& key, const char* value) {
    return put(key, kString, text(value));
  }
  GgufKeys& add(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = array(kString, values.size());
    for (const std::string& value : values) bytes += text(value);
    return put(key, kArray, bytes);
  }
  GgufKeys& add(const std::string& key, const std::vector<double>& values) {
    std::string bytes = array(kF64, values.size());
    for (const double value : values) bytes += raw(value);
    return put(key, kArray, bytes);
  }
  GgufKeys& add(const std::string& key, const std::vector<int64_t>& values) {
    std::string bytes = array(kI64, values.size());
    for (const int64_t value : values) bytes += raw(value);
    return put(key, kArray, bytes);
  }
  GgufKeys& add(const std::string& key, const std::vector<bool>& values) {
    std::string bytes = array(kBool, values.size());
    for (const bool value : values) bytes += value ? '\1' : '\0';
    return put(key, kArray, bytes);
  }

  // A file of these keys without tensors.
  std::string file() const {
    return "GGUF" + raw(uint32_t{3}) + raw(uint64_t{0}) + raw(count_) + bytes_;
  }

  // These keys in front of those of another file, whose tensors stay aligned to 32 bytes.
  std::string inserted_into(const std::string& file) const {
    GgufKeys all = *this;
    const size_t without = all.bytes_.size() + text("test.filler").size() + 4 + 8;
    all.add("test.filler", std::string(32 - without % 32, '.').c_str());
    uint64_t count = 0;
    std::memcpy(&count, file.data() + kCountAt, sizeof count);
    return file.substr(0, kCountAt) + raw(count + all.count_) + all.bytes_ +
           file.substr(kCountAt + sizeof count);
  }

 private:
  static constexpr uint32_t kU32 = 4, kBool = 7, kString = 8, kArray = 9, kI64 = 11, kF64 = 12;
  static constexpr size_t kCountAt = 16;

  template <class T>
  static std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string text(const std::string& s) { return raw(uint64_t{s.size()}) + s; }
  static std::string array(uint32_t type, uint64_t count) { return raw(type) + raw(count); }
  GgufKeys& put(const std::string& key, uint32_t type, const std::string& value) {
    bytes_ += text(key) + raw(type) + value;
    ++count_;
    return *this;
  }

  std::string bytes_;
  uint64_t count_ = 0;
};

}  // namespace rebound
