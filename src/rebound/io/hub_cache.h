// The cache of Hugging Face's hub as a layout of folders, the one that Python's huggingface_hub
// reads and writes. Nothing here touches the network.
//
//   CACHE/models--ORG--NAME/refs/REVISION             a commit: 40 hexadecimal digits
//                           snapshots/COMMIT/PATH  -> ../../blobs/ETAG
//                           blobs/ETAG              contents; ETAG: sha256 (large) or git's sha1
//                           blobs/ETAG.incomplete   a transfer that broke off
//   CACHE/.locks/models--ORG--NAME/ETAG.lock
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace rebound {

struct HubSettings {
  std::filesystem::path cache;
  std::string endpoint;      // "https://huggingface.co", no slash at the end
  std::string token;         // empty: none
  std::string certificates;  // PEM file of roots; empty: Mozilla's
  bool is_offline = false;
  uint32_t timeout_seconds = 30;  // without an answer, or without a byte of it
};

// Null where the variable is not set.
using Environment = std::function<const char*(const char*)>;
const char* environment_variable(const char* name);

// From HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and the other variables of docs/hub.md, with
// huggingface_hub's defaults. Throws ConfigError on an endpoint that is no URL, a token that is no
// word, a timeout that is no number.
HubSettings hub_settings(const Environment& variable = environment_variable);
std::filesystem::path hub_cache(const Environment& variable = environment_variable);

// "ORG/NAME[@REVISION][:PATH]", or NAME in place of ORG/NAME.
struct HubName {
  std::string repo;
  std::string revision = "main";
  std::string path;  // inside the repository
};

// Nothing when `text` has another form.
std::optional<HubName> parse_hub_name(const std::string& text);
bool is_revision(std::string_view text);  // a branch, tag or commit that names no other place
bool is_commit(std::string_view text);    // 40 hexadecimal digits
bool is_etag(std::string_view text);      // 40 or 64 hexadecimal digits

// Relative, without "..", ".", empty names, backslashes or control characters: listings are
// untrusted.
bool is_safe_repo_path(std::string_view path);

// One repository in the cache.
class HubRepo {
 public:
  HubRepo(const std::filesystem::path& cache, const std::string& repo);

  const std::filesystem::path& folder() const { return folder_; }
  // Where refs/ or the revision itself points, when that snapshot is there.
  std::optional<std::string> commit_of(const std::string& revision) const;
  std::filesystem::path snapshot(const std::string& commit) const;
  std::filesystem::path blob(const std::string& etag) const;
  std::filesystem::path incomplete(const std::string& etag) const;
  std::filesystem::path lock(const std::string& etag) const;

  // Throw IoError. A link that is there already and right is left alone.
  void link(const std::string& commit, const std::string& path, const std::string& etag) const;
  void write_ref(const std::string& revision, const std::string& commit) const;

 private:
  std::filesystem::path folder_, locks_;
};

// The hash of a file's bytes that `etag` is to be compared with: sha256 where it has 64 digits,
// else git's sha1 of a blob.
std::string hash_like(const std::string& etag, const std::filesystem::path& file);

// What --model and --sae mean by ORG/NAME[@REVISION][:PATH]: the cached snapshot, or PATH in it;
// for a model, a snapshot's one GGUF file where it holds no safetensors. Nothing when there is a
// file or folder called `text`, when it has another form, or is one word and not cached. IoError
// when it is not cached, naming the command that gets it.
std::optional<std::string> find_hub_model(const std::string& text);
std::optional<std::string> find_hub_sae(const std::string& text);

// A snapshot's folder, or its one GGUF file when it holds no safetensors. ConfigError on several.
std::string model_in_snapshot(const std::filesystem::path& snapshot);

// The last part of a path; of a snapshot's folder, the repository's name.
std::string name_of_path(const std::filesystem::path& path);

}  // namespace rebound
