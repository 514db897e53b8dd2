// The lines of a task's file, one text each.
#pragma once

#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"

namespace rebound {

// Row has `text.id`. read(line, where, number) makes one; empty lines are skipped. DataError for an unreadable line,
// an id used twice and a file without texts.
template <class Row, class Read>
std::vector<Row> read_task_lines(const std::filesystem::path& path, const Read& read) {
  std::istringstream lines(read_text_file(path));
  std::vector<Row> rows;
  std::set<std::string> ids;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(path.string(), ":", number);
    try {
      rows.push_back(read(line, where, number));
    } catch (const ConfigError& e) {
      throw DataError(e.what());
    }
    const std::string& id = rows.back().text.id;
    require<DataError>(ids.insert(id).second, where, ": id ", Json(id).dump().substr(0, 80), " is used twice");
  }
  require<DataError>(!rows.empty(), path.string(), ": got no texts, expected one a line");
  return rows;
}

}  // namespace rebound
