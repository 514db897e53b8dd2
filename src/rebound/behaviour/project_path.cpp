#include "rebound/behaviour/project_path.h"

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
  for (const fs::path& folder : folders) {
    const fs::path place = folder / relative;
    if (fs::exists(place, ignored)) return place;
    looked_at += (looked_at.empty() ? "" : ", ") + place.string();
  }
  throw IoError(concat(relative.string(),
                       ": not found, looked for ",
                       looked_at,
                       "; start rebound in the project's folder or set REBOUND_HOME to it"));
}

}  // namespace rebound
