#include "rebound/behaviour/project_path.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "rebound/base/error.h"

namespace rebound {
namespace fs = std::filesystem;

fs::path find_project_path(const fs::path& relative) {
  std::error_code ignored;
  std::vector<fs::path> folders = {fs::path()};
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!ignored) folders.push_back(program.parent_path().parent_path().parent_path());
  if (const char* home = std::getenv("REBOUND_HOME")) folders.emplace_back(home);

  std::string looked_at;
  for (size_t looked = 0; looked < folders.size(); ++looked) {
    const fs::path& folder = folders[looked];
    const fs::path place = folder / relative;
    if (fs::exists(place, ignored)) return place;
    const auto is_same = [&](const fs::path& other) { return fs::equivalent(other / ".", folder / ".", ignored); };
    const bool is_seen = std::any_of(folders.data(), folders.data() + looked, is_same);
    if (is_seen) continue;
    looked_at += (looked_at.empty() ? "" : ", ") + place.string();
  }
  throw IoError(concat(relative.string(),
                       ": not found, looked for ",
                       looked_at,
                       "; start rebound in the project's folder or set REBOUND_HOME to it"));
}

}  // namespace rebound
