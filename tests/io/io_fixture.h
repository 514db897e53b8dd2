// Small files in memory and on disk for the tests of this folder.
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/io/tensor_view.h"
#include "support/failures.h"

namespace rebound {

inline std::span<const std::byte> as_span(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string golden_path(const std::string& name) {
  return REBOUND_SOURCE_DIR "/tests/io/golden/" + name;
}

inline void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "got: " << text << "\nexpected in it: " << part;
}

// A folder that disappears with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rebound-io-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A float32 tensor over values that the caller keeps.
inline TensorView view_of(const std::string& name, Shape shape, const std::vector<float>& values) {
  return {name,
          DType::kF32,
          std::move(shape),
          reinterpret_cast<const std::byte*>(values.data()),
          values.size() * sizeof(float)};
}

}  // namespace rebound
