#include "rebound/sae/sae_source.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/npz.h"
#include "rebound/io/safetensors.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

bool is_torch_name(const std::string& name) {
  return name.ends_with(".pt") || name.ends_with(".pth");
}

std::string trimmed(const std::string& text) {
  const char* const kBlank = " \t\r\"'";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

at::Tensor widened(const TensorView& view) {
  at::Tensor out = at::empty(view.shape, at::kFloat);
  to_float32(view, out.data_ptr<float>());
  return out;
}

at::Tensor widened(const TensorTable& table, const std::string& name, const Shape& shape) {
  return widened(table.get(name, shape));
}

SaeSource::SaeSource(const fs::path& path)
    : path_text_(fs::absolute(path).lexically_normal().generic_string()) {
  if (path_text_.size() > 1 && path_text_.ends_with('/')) path_text_.pop_back();
  std::error_code failure;
  if (fs::is_regular_file(path, failure)) {
    is_one_file_ = true;
    folder_ = path.parent_path();
    names_.push_back(path.filename().string());
    return;
  }
  require<IoError>(fs::is_directory(path, failure), path.string(), ": no such folder or file");
  folder_ = path;
  for (const auto& entry : fs::directory_iterator(path, failure)) {
    names_.push_back(entry.path().filename().string());
  }
  require<IoError>(!failure, path.string(), ": cannot be listed: ", failure.message());
  std::sort(names_.begin(), names_.end());
}

std::string SaeSource::folder_name() const {
  const fs::path path(path_text_);
  return (is_one_file_ ? path.parent_path() : path).filename().string();
}

std::vector<std::string> SaeSource::names_like(const std::string& prefix,
                                               const std::string& suffix) const {
  std::vector<std::string> found;
  for (const std::string& name : names_) {
    const bool is_long = name.size() > prefix.size() + suffix.size();
    if (is_long && name.starts_with(prefix) && name.ends_with(suffix)) found.push_back(name);
  }
  return found;
}

bool SaeSource::has(const std::string& name) const {
  std::error_code ignored;
  return fs::is_regular_file(folder_ / name, ignored);
}

const Json& SaeSource::json(const std::string& name) const {
  const auto known = json_.find(name);
  if (known != json_.end()) return known->second;
  const std::string text = read_text_file(folder_ / name);
  try {
    return json_[name] = parse_json(text, (folder_ / name).string());
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

const TensorTable& SaeSource::table(const std::string& name) const {
  std::shared_ptr<TensorTable>& table = tables_[name];
  if (table) return *table;
  const fs::path path = folder_ / name;
  if (name.ends_with(".npz")) {
    table = std::make_shared<NpzFile>(path);
  } else if (is_torch_name(name)) {
    table = std::make_shared<TorchFile>(path);
  } else {
    table = std::make_shared<SafetensorsFile>(path);
  }
  return *table;
}

const TorchFile& SaeSource::torch(const std::string& name) const {
  require<DataError>(is_torch_name(name), name, ": expected a .pt or .pth file");
  return static_cast<const TorchFile&>(table(name));
}

std::string SaeSource::yaml(const std::string& name, const std::string& key) const {
  if (!has(name)) return "";
  std::istringstream lines(read_text_file(folder_ / name));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key + ":")) continue;
    const std::string value = line.substr(key.size() + 1);
    return trimmed(value.substr(0, value.find(" #")));
  }
  return "";
}

}  // namespace rebound
