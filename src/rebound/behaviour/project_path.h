// Files that come with the project, found from wherever the program is started.
#pragma once

#include <filesystem>

namespace rebound {

// `relative` (for example "data/ioi") in the current folder, then in the project around the
// program (build/<preset>/rebound), then in $REBOUND_HOME. Throws IoError naming these places.
std::filesystem::path find_project_path(const std::filesystem::path& relative);

}  // namespace rebound
