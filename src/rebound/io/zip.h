// ZIP archives read in place: the container of NumPy's .npz and of torch's .pt files.
//
//   [local header, data]...  central directory  end record         (zip64 for large files)
//
// The central directory counts; local headers only say where data begin. Stored and deflated
// entries are read, encrypted ones, other methods and entries that overlap refused. A file that
// disagrees with itself is a DataError; nothing is allocated from a size that the data do not
// deliver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rebound {

struct ZipEntry {
  std::string name;
  std::span<const std::byte> data;  // as it lies in the file
  uint64_t bytes = 0;               // when unpacked
  uint32_t crc = 0;
  bool is_deflated = false;
};

// True when the bytes begin like an archive; a check of the kind of file, no more.
bool looks_like_zip(std::span<const std::byte> bytes);

// The entries of an archive, in the order of its directory; they point into `bytes`.
std::vector<ZipEntry> read_zip_directory(std::span<const std::byte> bytes);

// The entry of that name, nullptr when there is none.
const ZipEntry* find_entry(const std::vector<ZipEntry>& entries, std::string_view name);

// Unpacked bytes of a deflated entry; throws DataError unless size and CRC-32 are as declared.
std::vector<std::byte> inflate_entry(const ZipEntry& entry);

}  // namespace rebound
