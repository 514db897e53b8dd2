#include "rebound/serve/open_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <optional>
#include <sstream>

namespace rebound {
namespace {

constexpr time_t kRecentSeconds = 300;

// Empty text where nobody has a lock; nothing where the kernel does not tell.
std::optional<std::string> text_of_locks() {
  std::ifstream file("/proc/locks");
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool was_written_lately(const std::filesystem::path& store) {
  struct stat facts = {};
  for (const char* suffix : {"", "-wal"}) {
    const bool is_there = stat((store.string() + suffix).c_str(), &facts) == 0;
    if (is_there && std::time(nullptr) - facts.st_mtime < kRecentSeconds) return true;
  }
  return false;
}

}  // namespace

bool has_lock_of_other(const std::string& locks, uint64_t inode, int64_t own_pid) {
  std::istringstream lines(locks);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, kind, mode, access, file;
    int64_t pid = 0;
    if (!(words >> number >> kind >> mode >> access >> pid >> file)) continue;
    const size_t colon = file.rfind(':');
    if (colon == std::string::npos) continue;
    if (file.substr(colon + 1) == std::to_string(inode) && pid != own_pid) return true;
  }
  return false;
}

bool is_store_open_elsewhere(const std::filesystem::path& store) {
  const std::optional<std::string> locks = text_of_locks();
  struct stat facts = {};
  if (stat((store.string() + "-shm").c_str(), &facts) != 0) return false;
  if (!locks) return was_written_lately(store);
  return has_lock_of_other(*locks, facts.st_ino, getpid());
}

}  // namespace rebound
