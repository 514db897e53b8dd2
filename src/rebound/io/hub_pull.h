// Files of a repository on the hub into the cache: listed, fetched through rust/hf (hf-hub),
// verified, linked.
//
// A file is whole and its hash right before it is named blobs/ETAG; a transfer that breaks off
// stays as blobs/ETAG.incomplete and goes on from there. The reference (refs/REVISION) is written
// last, so it never points at a snapshot that lacks a file which was asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "rebound/io/hub_cache.h"
#include "rebound/io/hub_files.h"

namespace rebound {

struct PulledFile {
  std::string path;
  int64_t bytes = 0;
  bool was_cached = false;
};

struct Pulled {
  std::string commit;
  std::filesystem::path snapshot;
  std::vector<PulledFile> files;
};

using SelectHubFiles = std::function<std::vector<HubFile>(const HubListing&)>;

// Throws IoError (network, refusal by the hub, disk, a hash that does not fit: the file is then
// deleted; offline and not in the cache), DataError (a listing that cannot be trusted) and what
// `select` throws. Offline, the selection is made among the files of the cached snapshot.
Pulled pull_from_hub(const HubSettings& settings,
                     const HubName& name,
                     const SelectHubFiles& select);

// "1.5 GB", in powers of 1000.
std::string size_text(int64_t bytes);

}  // namespace rebound
