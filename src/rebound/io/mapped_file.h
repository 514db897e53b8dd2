// A file mapped read-only into memory: opening is free, pages are read when touched.
//
// The file must not shrink while it is mapped (the system answers with SIGBUS); replacing it by a
// rename, as base/file.h does, is safe.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace rebound {

class MappedFile {
 public:
  // Throws IoError "PATH: cannot open: No such file or directory", also for folders and pipes.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  // Stays valid, and stays at the same address, when the MappedFile is moved.
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace rebound
