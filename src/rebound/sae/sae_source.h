// A folder of SAE files, or one file of a set, as the readers of formats see it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/io/torch_file.h"

namespace rebound {

// A tensor widened to float32; throws DataError on another shape.
at::Tensor widened(const TensorView& view);
at::Tensor widened(const TensorTable& table, const std::string& name, const Shape& shape);

class SaeSource {
 public:
  // Throws IoError when there is neither folder nor file.
  explicit SaeSource(const std::filesystem::path& path);

  const std::filesystem::path& folder() const { return folder_; }
  // Names in the folder, sorted; when `path` is a file, its name alone.
  const std::vector<std::string>& names() const { return names_; }
  bool is_one_file() const { return is_one_file_; }
  std::vector<std::string> names_like(const std::string& prefix, const std::string& suffix) const;
  bool has(const std::string& name) const;  // "cfg.json", "checkpoints/final.safetensors"

  // Throw IoError or DataError naming the file. JSON and tables are read once.
  const Json& json(const std::string& name) const;
  const TensorTable& table(const std::string& name) const;  // .safetensors, .npz, .pt, .pth
  const TorchFile& torch(const std::string& name) const;
  // Top-level "key: value" of a YAML file; "" when the key or the file is not there.
  std::string yaml(const std::string& name, const std::string& key) const;

  // The absolute path with "/" between the parts, without following links (a hub cache keeps the
  // repository's names in it).
  const std::string& path_text() const { return path_text_; }
  std::string folder_name() const;  // "layers.10"

 private:
  std::filesystem::path folder_;
  std::vector<std::string> names_;
  bool is_one_file_ = false;
  std::string path_text_;
  mutable std::map<std::string, Json> json_;
  mutable std::map<std::string, std::shared_ptr<TensorTable>> tables_;
};

}  // namespace rebound
