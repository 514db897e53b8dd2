#include "rebound/io/hub_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/io/hub_cache.h"

namespace rebound {
namespace {

constexpr std::array kModelFiles = {"config.json",
                                    "generation_config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "tokenizer.model",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "vocab.txt",
                                    "merges.txt",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "model.safetensors.index.json"};
constexpr std::array kSaeWeights = {".safetensors", ".npz", ".pt", ".pth"};
constexpr std::array kSaeSettings = {".json", ".yaml", ".yml"};
constexpr size_t kMostNamed = 4;

template <class Names>
bool ends_with_one_of(const std::string& path, const Names& endings) {
  return std::any_of(
      endings.begin(), endings.end(), [&](const char* ending) { return path.ends_with(ending); });
}

bool is_sae_weight(const HubFile& file) { return ends_with_one_of(file.path, kSaeWeights); }
bool is_sae_setting(const HubFile& file) { return ends_with_one_of(file.path, kSaeSettings); }

// "" for a file in the top folder, else with a slash at the end.
std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

template <class Keep>
std::vector<HubFile> those_of(const HubListing& listing, const Keep& keep) {
  std::vector<HubFile> kept;
  std::copy_if(listing.files.begin(), listing.files.end(), std::back_inserter(kept), keep);
  return kept;
}

std::string some_of(const std::set<std::string>& names) {
  std::string text;
  size_t named = 0;
  for (const std::string& name : names) {
    if (named++ == kMostNamed) return text + ", ...";
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

HubFile file_of(const Json& sibling) {
  require<DataError>(sibling.is_object(), "listing: got an entry that is no object");
  HubFile file{.path = text_at(sibling, "rfilename")};
  require<DataError>(
      is_safe_repo_path(file.path),
      "listing: got the path ",
      Json(file.path).dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 200),
      ", expected one inside the repository; nothing was fetched");
  const auto lfs = sibling.find("lfs");
  const bool is_large = lfs != sibling.end() && lfs->is_object();
  const Json& facts = is_large ? *lfs : sibling;
  file.etag = text_at(facts, is_large ? "sha256" : "blobId");
  if (!is_etag(file.etag)) file.etag.clear();
  const auto size = facts.find("size");
  if (size != facts.end() && size->is_number_unsigned() && size->get<uint64_t>() <= INT64_MAX) {
    file.bytes = size->get<int64_t>();
  }
  return file;
}

bool is_in_top_folder(const HubFile& file) { return file.path.find('/') == std::string::npos; }

bool is_model_setting(const HubFile& file) {
  return std::find(kModelFiles.begin(), kModelFiles.end(), file.path) != kModelFiles.end();
}

std::vector<HubFile> select_included(const HubListing& listing,
                                     const std::vector<std::string>& include) {
  std::set<std::string> wanted;
  for (const std::string& pattern : include) {
    bool is_matched = false;
    for (const HubFile& file : listing.files) {
      if (!matches_glob(pattern, file.path)) continue;
      wanted.insert(file.path);
      is_matched = true;
    }
    require<ConfigError>(is_matched,
                         "--include: got ",
                         pattern,
                         ", expected a pattern that one of the ",
                         listing.files.size(),
                         " files matches");
  }
  return those_of(listing, [&](const HubFile& file) { return wanted.count(file.path) > 0; });
}

[[noreturn]] void complain_of_weights(const HubListing& listing) {
  std::set<std::string> ggufs, others;
  for (const HubFile& file : listing.files) {
    if (file.path.ends_with(".gguf")) ggufs.insert(file.path);
    if (ends_with_one_of(file.path, std::array{".bin", ".safetensors", ".h5", ".pt", ".pth"})) {
      others.insert(file.path);
    }
  }
  require<DataError>(ggufs.empty(),
                     "got no safetensors but GGUF files; name one with --include: ",
                     some_of(ggufs));
  throw DataError(concat("got no safetensors in the top folder, ",
                         others.empty() ? "and no other weights" : "but " + some_of(others),
                         "; expected model.safetensors or shards with an index"));
}

std::vector<HubFile> select_below(const HubListing& listing, const std::string& folder) {
  return those_of(listing, [&](const HubFile& file) {
    return file.path.starts_with(folder) && (is_sae_weight(file) || is_sae_setting(file));
  });
}

std::vector<HubFile> select_beside(const HubListing& listing, const std::string& path) {
  const std::string folder = folder_of(path);
  return those_of(listing, [&](const HubFile& file) {
    return file.path == path || (is_sae_setting(file) && folder_of(file.path) == folder);
  });
}

std::set<std::string> weight_folders(const HubListing& listing) {
  std::set<std::string> folders;
  for (const HubFile& file : listing.files) {
    if (is_sae_weight(file))
      folders.insert(folder_of(file.path).empty() ? "." : folder_of(file.path));
  }
  return folders;
}

}  // namespace

HubListing parse_hub_listing(const std::string& json) {
  const Json answer = Json::parse(json, nullptr, false);
  require<DataError>(
      answer.is_object() && answer.contains("siblings") && answer["siblings"].is_array(),
      "listing: got no object with \"siblings\", expected the hub's description of a repository");
  HubListing listing{.commit = text_at(answer, "sha")};
  require<DataError>(is_commit(listing.commit),
                     "listing: got no commit in \"sha\", expected 40 hexadecimal digits");
  for (const Json& sibling : answer["siblings"]) listing.files.push_back(file_of(sibling));
  std::sort(listing.files.begin(), listing.files.end(), [](const HubFile& a, const HubFile& b) {
    return a.path < b.path;
  });
  return listing;
}

bool matches_glob(const std::string& pattern, const std::string& path) {
  return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
}

std::vector<HubFile> select_model_files(const HubListing& listing,
                                        const std::vector<std::string>& include) {
  if (!include.empty()) return select_included(listing, include);
  const auto is_named = [](const char* pattern) {
    return [pattern](const HubFile& file) {
      return is_in_top_folder(file) && matches_glob(pattern, file.path);
    };
  };
  const auto is_usual = is_named("model*.safetensors"), is_any = is_named("*.safetensors");
  const bool has_usual = std::any_of(listing.files.begin(), listing.files.end(), is_usual);
  const bool has_any = std::any_of(listing.files.begin(), listing.files.end(), is_any);
  if (!has_any) complain_of_weights(listing);
  return those_of(listing, [&](const HubFile& file) {
    return is_model_setting(file) || (has_usual ? is_usual(file) : is_any(file));
  });
}

std::vector<HubFile> select_sae_files(const HubListing& listing, const std::string& path) {
  std::string place = path;
  while (place.ends_with('/')) place.pop_back();
  if (place == ".") return select_below(listing, "");
  const std::set<std::string> folders = weight_folders(listing);
  if (place.empty()) {
    require<DataError>(!folders.empty(),
                       "got no weights (.safetensors, .npz, .pt, .pth), expected an SAE's");
    require<ConfigError>(folders.size() == 1,
                         "got weights in ",
                         folders.size(),
                         " folders; name one with --path (\".\" is all): ",
                         some_of(folders));
    return select_below(listing, "");
  }
  const auto is_it = [&](const HubFile& file) { return file.path == place; };
  const bool is_file = std::any_of(listing.files.begin(), listing.files.end(), is_it);
  const std::vector<HubFile> found =
      is_file ? select_beside(listing, place) : select_below(listing, place + "/");
  require<ConfigError>(!found.empty(),
                       "--path: got ",
                       place,
                       ", expected a folder or file of the repository, such as ",
                       some_of(folders));
  return found;
}

}  // namespace rebound
