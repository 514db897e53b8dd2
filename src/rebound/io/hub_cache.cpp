#include "rebound/io/hub_cache.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNameBytes = 255, kMaxPathBytes = 1024;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isdigit(c) || (c >= 'a' && c <= 'f');
  });
}

bool holds_only(std::string_view text, std::string_view signs) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return std::isalnum(c) || signs.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// As huggingface_hub's validate_repo_id.
bool is_repo_part(std::string_view text) {
  const auto is_edge = [](char c) { return c == '.' || c == '-'; };
  return !text.empty() && text.size() <= 96 && holds_only(text, "_-.") && !is_edge(text.front()) &&
         !is_edge(text.back()) && text.find("--") == std::string_view::npos &&
         text.find("..") == std::string_view::npos;
}

bool is_repo(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_repo_part(text);
  return is_repo_part(text.substr(0, slash)) && is_repo_part(text.substr(slash + 1));
}

std::string first_word(const fs::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> word;
  return word;
}

void make_folder(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot make the folder: ", failure.message());
}

std::string pull_command(const std::string& verb, const HubName& name) {
  std::string command = "rebound " + verb + " pull " + name.repo;
  if (name.revision != "main") command += " --revision " + name.revision;
  if (!name.path.empty()) command += (verb == "sae" ? " --path " : " --include ") + name.path;
  return command;
}

std::optional<fs::path> find_in_hub_cache(const std::string& text, const std::string& verb) {
  std::error_code ignored;
  const std::optional<HubName> name = parse_hub_name(text);
  if (!name || fs::exists(text, ignored)) return std::nullopt;
  const fs::path cache = hub_cache();
  const HubRepo repo(cache, name->repo);
  const std::optional<std::string> commit = repo.commit_of(name->revision);
  if (!commit && name->repo.find('/') == std::string::npos) return std::nullopt;
  const fs::path place = commit ? repo.snapshot(*commit) / name->path : fs::path();
  require<IoError>(commit && fs::exists(place, ignored),
                   text,
                   ": no such file or folder, and not in the Hugging Face cache ",
                   cache.string(),
                   "; `",
                   pull_command(verb, *name),
                   "` gets it from the hub");
  return name->path.empty() ? repo.snapshot(*commit) : place;
}

}  // namespace

bool is_revision(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && holds_only(text, "_-./+") &&
         text.front() != '-' && is_safe_repo_path(text);
}

bool is_commit(std::string_view text) { return text.size() == 40 && is_hex(text); }

bool is_etag(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && is_hex(text);
}

bool is_safe_repo_path(std::string_view path) {
  const auto is_odd = [](unsigned char c) { return c < ' ' || c == 127 || c == '\\'; };
  if (path.size() > kMaxPathBytes || std::any_of(path.begin(), path.end(), is_odd)) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxNameBytes) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

std::optional<HubName> parse_hub_name(const std::string& text) {
  HubName name;
  const size_t colon = text.find(':');
  if (colon != std::string::npos) name.path = text.substr(colon + 1);
  const std::string whole = text.substr(0, colon);
  const size_t at = whole.find('@');
  name.repo = whole.substr(0, at);
  if (at != std::string::npos) name.revision = whole.substr(at + 1);
  const bool has_path = colon == std::string::npos || is_safe_repo_path(name.path);
  if (!is_repo(name.repo) || !is_revision(name.revision) || !has_path) return std::nullopt;
  return name;
}

HubRepo::HubRepo(const fs::path& cache, const std::string& repo) {
  std::string name = "models--" + repo;
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  folder_ = cache / name;
  locks_ = cache / ".locks" / name;
}

std::optional<std::string> HubRepo::commit_of(const std::string& revision) const {
  std::error_code ignored;
  const fs::path ref = folder_ / "refs" / revision;
  const std::string commit = fs::is_regular_file(ref, ignored) ? first_word(ref) : revision;
  if (!is_commit(commit) || !fs::is_directory(snapshot(commit), ignored)) return std::nullopt;
  return commit;
}

fs::path HubRepo::snapshot(const std::string& commit) const {
  return folder_ / "snapshots" / commit;
}
fs::path HubRepo::blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
fs::path HubRepo::incomplete(const std::string& etag) const { return blob(etag + ".incomplete"); }
fs::path HubRepo::lock(const std::string& etag) const { return locks_ / (etag + ".lock"); }

void HubRepo::link(const std::string& commit,
                   const std::string& path,
                   const std::string& etag) const {
  const fs::path pointer = snapshot(commit) / path;
  const fs::path target = blob(etag).lexically_relative(pointer.parent_path());
  std::error_code failure;
  if (fs::read_symlink(pointer, failure) == target) return;
  make_folder(pointer.parent_path());
  fs::path temporary = pointer;
  temporary += concat(".tmp", ::getpid());
  fs::create_symlink(target, temporary, failure);
  if (!failure) fs::rename(temporary, pointer, failure);
  if (!failure) return;
  std::error_code ignored;
  fs::remove(temporary, ignored);
  throw IoError(concat(pointer.string(), ": cannot be linked to its blob: ", failure.message()));
}

void HubRepo::write_ref(const std::string& revision, const std::string& commit) const {
  const fs::path ref = folder_ / "refs" / revision;
  if (revision == commit || first_word(ref) == commit) return;
  make_folder(ref.parent_path());
  write_file_atomically(ref, commit);
}

std::string hash_like(const std::string& etag, const fs::path& file) {
  if (etag.size() == 64) return sha256_of_file(file);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr);
  const std::string header = concat("blob ", fs::file_size(file)) + '\0';
  EVP_DigestUpdate(context.get(), header.data(), header.size());
  std::ifstream in(file, std::ios::binary);
  std::vector<char> block(1 << 20);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
    EVP_DigestUpdate(context.get(), block.data(), static_cast<size_t>(in.gcount()));
  }
  std::vector<unsigned char> digest(EVP_MAX_MD_SIZE);
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += {kDigits[digest[i] >> 4], kDigits[digest[i] & 15]};
  }
  return hex;
}

std::string model_in_snapshot(const fs::path& snapshot) {
  std::vector<std::string> ggufs;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(snapshot, failure)) {
    const fs::path& file = entry.path();
    if (file.extension() == ".safetensors") return snapshot.string();
    if (file.extension() == ".gguf") ggufs.push_back(file.filename().string());
  }
  require<IoError>(!failure, snapshot.string(), ": cannot be listed: ", failure.message());
  std::sort(ggufs.begin(), ggufs.end());
  require<ConfigError>(ggufs.size() <= 1,
                       snapshot.string(),
                       ": holds ",
                       ggufs.size(),
                       " GGUF files; name one as ORG/NAME:",
                       ggufs.empty() ? "" : ggufs.front());
  return ggufs.empty() ? snapshot.string() : (snapshot / ggufs.front()).string();
}

std::optional<std::string> find_hub_model(const std::string& text) {
  const std::optional<fs::path> place = find_in_hub_cache(text, "model");
  if (!place) return std::nullopt;
  std::error_code ignored;
  return fs::is_directory(*place, ignored) ? model_in_snapshot(*place) : place->string();
}

std::optional<std::string> find_hub_sae(const std::string& text) {
  const std::optional<fs::path> place = find_in_hub_cache(text, "sae");
  return place ? std::optional(place->string()) : std::nullopt;
}

std::string name_of_path(const fs::path& path) {
  const fs::path clean = (path / "").parent_path();
  const fs::path repo = clean.parent_path().parent_path().filename();
  const bool is_snapshot =
      clean.parent_path().filename() == "snapshots" && repo.string().starts_with("models--");
  if (!is_snapshot) return clean.filename().string();
  const std::string name = repo.string();
  return name.substr(name.rfind("--") + 2);
}

}  // namespace rebound
