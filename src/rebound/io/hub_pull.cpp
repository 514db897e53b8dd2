#include "rebound/io/hub_pull.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <optional>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/base/progress.h"
#include "rebound_hf.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

rebound_hf_text hub_view(const std::string& text) { return {text.data(), text.size()}; }

// The text of a call, or IoError with its reason.
template <class Call>
std::string text_from_hub(const Call& call) {
  rebound_hf_bytes bytes{nullptr, 0};
  const int status = call(&bytes);
  std::string text(bytes.data, bytes.size);
  rebound_hf_bytes_free(bytes);
  require<IoError>(status == REBOUND_HF_OK, text);
  return text;
}

class HubClient {
 public:
  explicit HubClient(const HubSettings& settings) {
    const rebound_hub_settings raw = {hub_view(settings.endpoint),
                                      hub_view(settings.token),
                                      hub_view(settings.certificates),
                                      settings.timeout_seconds};
    text_from_hub([&](rebound_hf_bytes* bytes) { return rebound_hub_new(&raw, &hub_, bytes); });
  }
  ~HubClient() { rebound_hub_free(hub_); }
  HubClient(const HubClient&) = delete;
  HubClient& operator=(const HubClient&) = delete;

  const rebound_hub* get() const { return hub_; }

 private:
  rebound_hub* hub_ = nullptr;
};

// Held while one blob is fetched; the lock of huggingface_hub.
class BlobLock {
 public:
  explicit BlobLock(const fs::path& path) {
    std::error_code failure;
    fs::create_directories(path.parent_path(), failure);
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    require<IoError>(file_ >= 0, path.string(), ": cannot be opened: ", std::strerror(errno));
    if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
    say("waiting for another program that fetches the same file");
    while (::flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~BlobLock() { ::close(file_); }
  BlobLock(const BlobLock&) = delete;
  BlobLock& operator=(const BlobLock&) = delete;

 private:
  int file_ = -1;
};

// A bar for one file, in kB or MB.
class TransferProgress {
 public:
  TransferProgress(const std::string& path, int64_t bytes)
      : unit_(bytes < 10'000'000 ? 1'000 : 1'000'000),
        bar_(path + (unit_ == 1'000 ? ", kB" : ", MB"), std::max<int64_t>(1, bytes / unit_)) {}

  static void show(void* self, uint64_t bytes_there) {
    static_cast<TransferProgress*>(self)->update(static_cast<int64_t>(bytes_there));
  }

 private:
  void update(int64_t bytes_there) {
    if (!first_) first_ = bytes_there;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - started_;
    const double rate = static_cast<double>(bytes_there - *first_) / std::max(1e-3, passed.count());
    bar_.update(bytes_there / unit_, size_text(static_cast<int64_t>(std::max(0., rate))) + "/s");
  }

  int64_t unit_;
  Progress bar_;
  std::optional<int64_t> first_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

int64_t bytes_at(const fs::path& path) {
  std::error_code failure;
  const uintmax_t bytes = fs::file_size(path, failure);
  return failure ? -1 : static_cast<int64_t>(bytes);
}

class Pull {
 public:
  Pull(const HubSettings& settings, const HubName& name)
      : name_(name), client_(settings), repo_(settings.cache, name.repo) {}

  Pulled run(const SelectHubFiles& select) {
    listing_ = parse_hub_listing(text_from_hub([&](rebound_hf_bytes* bytes) {
      return rebound_hub_list(client_.get(), hub_view(name_.repo), hub_view(name_.revision), bytes);
    }));
    const std::vector<HubFile> files = select(listing_);
    announce(files);
    Pulled pulled{.commit = listing_.commit, .snapshot = repo_.snapshot(listing_.commit)};
    for (const HubFile& file : files) {
      pulled.files.push_back(with_context(file.path, [&] { return pull_file(file); }));
    }
    repo_.write_ref(name_.revision, listing_.commit);
    return pulled;
  }

 private:
  void announce(const std::vector<HubFile>& files) const {
    int64_t all = 0, missing = 0;
    for (const HubFile& file : files) {
      all += std::max<int64_t>(0, file.bytes);
      if (!has_blob(file)) missing += std::max<int64_t>(0, file.bytes);
    }
    say(concat(name_.repo,
               ", commit ",
               listing_.commit.substr(0, 12),
               ": ",
               files.size(),
               " files, ",
               size_text(all),
               ", ",
               size_text(missing),
               " to fetch"));
  }

  bool has_blob(const HubFile& file) const {
    return !file.etag.empty() && file.bytes >= 0 && bytes_at(repo_.blob(file.etag)) == file.bytes;
  }

  PulledFile pull_file(HubFile file) const {
    if (file.etag.empty() || file.bytes < 0) complete(file);
    const bool was_cached = has_blob(file);
    if (!was_cached) {
      const BlobLock lock(repo_.lock(file.etag));
      if (!has_blob(file)) fetch(file);
    }
    repo_.link(listing_.commit, file.path, file.etag);
    return {file.path, file.bytes, was_cached};
  }

  // What the listing left out, from the headers.
  void complete(HubFile& file) const {
    const std::string text = text_from_hub([&](rebound_hf_bytes* bytes) {
      return rebound_hub_describe(client_.get(), remote(file), bytes);
    });
    const Json said = Json::parse(text);
    const Json &etag = said.at("etag"), &size = said.at("size");
    const bool is_known = etag.is_string() && is_etag(etag.get<std::string>()) &&
                          size.is_number_unsigned() && size.get<uint64_t>() <= INT64_MAX;
    require<IoError>(
        is_known,
        "got neither from the listing nor from the headers a size and an ETag that is a hash "
        "(sha256 or git's sha1), so it could not be verified");
    file.etag = etag.get<std::string>();
    file.bytes = size.get<int64_t>();
  }

  rebound_hub_file remote(const HubFile& file) const {
    return {hub_view(name_.repo), hub_view(listing_.commit), hub_view(file.path)};
  }

  void fetch(const HubFile& file) const {
    const fs::path part = repo_.incomplete(file.etag);
    std::error_code failure;
    fs::create_directories(part.parent_path(), failure);
    require<IoError>(
        !failure, part.parent_path().string(), ": cannot make the folder: ", failure.message());
    const bool is_resumed = bytes_at(part) > 0;
    check_room(part, file.bytes);
    transfer(file, part);
    const std::string hash = hash_like(file.etag, part);
    if (hash == file.etag) {
      fs::rename(part, repo_.blob(file.etag), failure);
      require<IoError>(!failure, part.string(), ": cannot be renamed: ", failure.message());
      return;
    }
    fs::remove(part, failure);
    if (is_resumed) {
      say(file.path + ": what an earlier transfer left did not fit; from the start again");
      return fetch(file);
    }
    throw IoError(
        concat("got contents with hash ", hash, ", expected ", file.etag, "; deleted, pull again"));
  }

  static void check_room(const fs::path& part, int64_t bytes) {
    std::error_code failure;
    const fs::space_info space = fs::space(part.parent_path(), failure);
    const int64_t needed = bytes - std::max<int64_t>(0, bytes_at(part));
    if (failure || needed <= 0) return;
    require<IoError>(space.available >= static_cast<uintmax_t>(needed),
                     part.parent_path().string(),
                     ": the disk is full: got room for ",
                     size_text(static_cast<int64_t>(space.available)),
                     ", expected ",
                     size_text(needed));
  }

  void transfer(const HubFile& file, const fs::path& part) const {
    TransferProgress progress(file.path, file.bytes);
    const std::string target = part.string();
    const rebound_hub_transfer raw = {remote(file),
                                      hub_view(file.etag),
                                      static_cast<uint64_t>(file.bytes),
                                      hub_view(target),
                                      &TransferProgress::show,
                                      &progress};
    text_from_hub(
        [&](rebound_hf_bytes* bytes) { return rebound_hub_fetch(client_.get(), &raw, bytes); });
  }

  HubName name_;
  HubClient client_;
  HubRepo repo_;
  HubListing listing_;
};

// The files of a cached snapshot as a listing.
Pulled find_offline(const HubSettings& settings,
                    const HubName& name,
                    const SelectHubFiles& select) {
  const HubRepo repo(settings.cache, name.repo);
  const std::optional<std::string> commit = repo.commit_of(name.revision);
  require<IoError>(commit.has_value(),
                   "HF_HUB_OFFLINE is set, and revision ",
                   name.revision,
                   " is not in the cache ",
                   settings.cache.string(),
                   "; unset it to fetch from the hub");
  HubListing listing{.commit = *commit};
  const fs::path snapshot = repo.snapshot(*commit);
  for (const auto& entry : fs::recursive_directory_iterator(snapshot)) {
    if (entry.is_regular_file()) {
      listing.files.push_back({.path = entry.path().lexically_relative(snapshot).generic_string(),
                               .bytes = static_cast<int64_t>(entry.file_size())});
    }
  }
  Pulled pulled{.commit = *commit, .snapshot = snapshot};
  for (const HubFile& file : select(listing)) pulled.files.push_back({file.path, file.bytes, true});
  return pulled;
}

}  // namespace

Pulled pull_from_hub(const HubSettings& settings,
                     const HubName& name,
                     const SelectHubFiles& select) {
  return with_context(name.repo, [&] {
    return settings.is_offline ? find_offline(settings, name, select)
                               : Pull(settings, name).run(select);
  });
}

std::string size_text(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double size = static_cast<double>(bytes);
  size_t unit = 0;
  while (size >= 999.5 && unit + 1 < std::size(kUnits)) {
    size /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(
      text, sizeof text, unit == 0 || size >= 99.5 ? "%.0f %s" : "%.1f %s", size, kUnits[unit]);
  return text;
}

}  // namespace rebound
