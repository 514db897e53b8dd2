#include "rebound/probe/activation_cache.h"

#include <ATen/ATen.h>
#include <stdlib.h>

#include <cstring>
#include <string>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::string name_of(int64_t text) { return std::to_string(text); }

}  // namespace

void CacheOptions::validate() const {
  require<ConfigError>(
      memory_bytes >= 0, "CacheOptions.memory_bytes must be >= 0, got ", memory_bytes);
  require<ConfigError>(chunk_bytes > 0, "CacheOptions.chunk_bytes must be > 0, got ", chunk_bytes);
}

ActivationCache::ActivationCache(int64_t texts, int64_t d_model, CacheOptions options)
    : d_model_(d_model), options_(std::move(options)), entries_(static_cast<size_t>(texts)) {
  options_.validate();
}

ActivationCache::~ActivationCache() {
  std::error_code ignored;
  if (!own_folder_.empty()) fs::remove_all(own_folder_, ignored);
}

void ActivationCache::put(int64_t text, const at::Tensor& tokens) {
  check_shape("tokens", tokens, {{"tokens"}, {"d_model", d_model_}});
  Entry& entry = entries_.at(static_cast<size_t>(text));
  TORCH_INTERNAL_ASSERT(!entry.tokens.defined() && entry.file < 0, "text put twice");
  entry.tokens = tokens.detach().cpu().to(at::kFloat).contiguous().clone();
  token_count_ += tokens.size(0);
  const auto bytes = static_cast<int64_t>(entry.tokens.nbytes());
  if (memory_bytes_ + bytes <= options_.memory_bytes) {
    memory_bytes_ += bytes;
    return;
  }
  waiting_.push_back(text);
  waiting_bytes_ += bytes;
  if (waiting_bytes_ >= options_.chunk_bytes) flush();
}

void ActivationCache::flush() {
  if (own_folder_.empty()) make_folder();
  std::vector<TensorView> views;
  for (const int64_t text : waiting_) {
    const at::Tensor& tokens = entries_[static_cast<size_t>(text)].tokens;
    views.push_back({.name = name_of(text),
                     .dtype = DType::kF32,
                     .shape = tokens.sizes().vec(),
                     .data = static_cast<const std::byte*>(tokens.data_ptr()),
                     .bytes = tokens.nbytes()});
  }
  const fs::path path = own_folder_ / (std::to_string(files_.size()) + ".safetensors");
  write_safetensors(path, views);
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  for (const int64_t text : waiting_) {
    entries_[static_cast<size_t>(text)] = {{}, static_cast<int64_t>(files_.size()) - 1};
  }
  disk_bytes_ += waiting_bytes_;
  waiting_bytes_ = 0;
  waiting_.clear();
}

void ActivationCache::make_folder() {
  std::error_code failure;
  fs::path parent = options_.folder.empty() ? fs::temp_directory_path(failure) : options_.folder;
  if (!failure) fs::create_directories(parent, failure);
  std::string path = (parent / "rebound-activations-XXXXXX").string();
  const bool is_made = !failure && mkdtemp(path.data()) != nullptr;
  require<IoError>(is_made, parent.string(), ": cannot make a folder for activations there");
  own_folder_ = path;
}

at::Tensor ActivationCache::tokens(int64_t text) const {
  const Entry& entry = entries_.at(static_cast<size_t>(text));
  if (entry.tokens.defined()) return entry.tokens;
  TORCH_INTERNAL_ASSERT(entry.file >= 0, "text was never put");
  const TensorView& view = files_[static_cast<size_t>(entry.file)]->get(name_of(text));
  at::Tensor tokens = at::empty(view.shape, at::kFloat);
  std::memcpy(tokens.data_ptr(), view.data, view.bytes);
  return tokens;
}

}  // namespace rebound
