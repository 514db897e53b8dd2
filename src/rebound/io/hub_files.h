// Which files of a repository on the hub are worth having.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rebound {

struct HubFile {
  std::string path;    // inside the repository, safe to use below a snapshot
  int64_t bytes = -1;  // -1: the listing does not say
  std::string etag;    // sha256 of a large file, else git's sha1; "": the listing does not say
};

struct HubListing {
  std::string commit;
  std::vector<HubFile> files;  // sorted by path
};

// The hub's answer to /api/models/ORG/NAME/revision/REV?blobs=true. Throws DataError on anything
// else, and on a path that would leave the snapshot: nothing of such a repository is fetched.
HubListing parse_hub_listing(const std::string& json);

// As fnmatch: * also matches "/".
bool matches_glob(const std::string& pattern, const std::string& path);

// What `rebound` reads of a model: configuration, tokenizer and chat template in the top folder,
// and its safetensors with their index (model*.safetensors where there are such; .bin, .h5 and ONNX
// never). With `include`: what matches one of these patterns, and nothing else. Throws DataError
// where no safetensors are, ConfigError where a pattern matches nothing.
std::vector<HubFile> select_model_files(const HubListing& listing,
                                        const std::vector<std::string>& include);

// Weights (.safetensors, .npz, .pt, .pth) and their configuration (.json, .yaml, .yml): below the
// folder `path`; or that one file and the configuration beside it; or, without a path, of the whole
// repository where the weights lie in one folder. "." is everything. Throws ConfigError otherwise.
std::vector<HubFile> select_sae_files(const HubListing& listing, const std::string& path);

}  // namespace rebound
