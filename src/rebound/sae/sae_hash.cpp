#include "rebound/sae/sae_hash.h"

#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::string lines_of_weight_files(const fs::path& folder) {
  const std::set<std::string> endings = {".safetensors", ".npz", ".pt", ".pth", ".bin"};
  std::map<std::string, std::string> hashes;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (endings.count(entry.path().extension().string()) == 0) continue;
    hashes[entry.path().filename().string()] = sha256_of_file(entry.path());
  }
  require<IoError>(!hashes.empty(), folder.string(), ": got no file of weights, expected an SAE");
  std::string lines;
  for (const auto& [name, hash] : hashes) lines += name + " " + hash + "\n";
  return lines;
}

}  // namespace

std::string sae_sha256(const fs::path& path) {
  if (!fs::is_directory(path)) return sha256_of_file(path);
  const fs::path usual = path / "sae_weights.safetensors";
  return fs::exists(usual) ? sha256_of_file(usual) : sha256_of_text(lines_of_weight_files(path));
}

}  // namespace rebound
