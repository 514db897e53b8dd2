// safetensors: one file, a Hugging Face folder of them, and a writer.
//
//   bytes 0..7   header length n, little endian
//   bytes 8..8+n JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__"}
//   the rest     tensor bytes, without holes or overlaps (as the reference reader demands)
//
// A file that disagrees with itself is a DataError, one that cannot be read an IoError; both name
// the path. Nothing is allocated from a count that the file's size does not cover.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "rebound/io/mapped_file.h"
#include "rebound/io/tensor_table.h"

namespace rebound {

using TextMap = std::map<std::string, std::string>;

struct SafetensorsContent {
  TensorTable tensors;  // views into the bytes given to parse_safetensors
  TextMap metadata;     // the header's "__metadata__"
};

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes);

class SafetensorsFile : public TensorTable {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const TextMap& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  TextMap metadata_;
};

// model.safetensors, or else model.safetensors.index.json with its shards beside it. The index
// may name plain files only (no folders), and every tensor that it promises must be there.
class SafetensorsFolder : public TensorTable {
 public:
  explicit SafetensorsFolder(const std::filesystem::path& folder);
  const std::vector<std::filesystem::path>& paths() const { return paths_; }

 private:
  void add_shards(const std::filesystem::path& folder, const std::filesystem::path& index);

  std::vector<SafetensorsFile> files_;
  std::vector<std::filesystem::path> paths_;
};

// Writes atomically, widest elements first so that every tensor is aligned. DataError on a name
// given twice, on bytes that do not fit dtype and shape, and on the ggml block types.
void write_safetensors(const std::filesystem::path& path,
                       const std::vector<TensorView>& tensors,
                       const TextMap& metadata = {});

}  // namespace rebound
