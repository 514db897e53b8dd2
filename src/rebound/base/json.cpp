#include "rebound/base/json.h"

#include "rebound/base/file.h"

namespace rebound {

Json parse_json(const std::string& text, const std::string& where) {
  constexpr int kMaxDepth = 200;
  std::vector<std::set<std::string>> open_objects;
  const Json::parser_callback_t strict = [&](int depth, Json::parse_event_t event, Json& parsed) {
    require<DataError>(depth < kMaxDepth, where, ": JSON nested deeper than ", kMaxDepth);
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key) {
      const bool is_new = open_objects.back().insert(parsed.get<std::string>()).second;
      require<DataError>(is_new, where, ": key ", parsed.dump(), " stands twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, strict, /*allow_exceptions=*/true, /*ignore_comments=*/true);
  } catch (const nlohmann::json::exception& e) {
    std::string reason = e.what();
    const size_t after_tag = reason.find("] ");
    if (after_tag != std::string::npos) reason = reason.substr(after_tag + 2);
    throw DataError(concat(where, ": not valid JSON: ", reason));
  }
}

Json read_json_file(const std::filesystem::path& path) {
  return parse_json(read_text_file(path), path.string());
}

std::vector<Json> read_jsonl_file(const std::filesystem::path& path) {
  std::istringstream lines(read_text_file(path));
  std::vector<Json> rows;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    rows.push_back(parse_json(line, concat(path.string(), ":", number)));
  }
  return rows;
}

ObjectReader::ObjectReader(const Json& json, std::string where)
    : json_(json), where_(std::move(where)) {
  require<ConfigError>(
      json_.is_object(), where_, ": got ", json_.type_name(), ", expected a JSON object");
}

const Json& ObjectReader::at(const std::string& key) {
  asked_.insert(key);
  require<ConfigError>(json_.contains(key), where_, ": missing key \"", key, "\"");
  return json_.at(key);
}

std::vector<std::string> ObjectReader::unknown_keys() const {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : json_.items()) {
    if (!asked_.count(key)) unknown.push_back(key);
  }
  return unknown;
}

void ObjectReader::finish() const {
  for (const auto& [key, value] : json_.items()) {
    if (asked_.count(key)) continue;
    std::string known;
    for (const std::string& name : asked_) known += (known.empty() ? "" : ", ") + name;
    throw ConfigError(concat(where_, ": unknown key \"", key, "\", expected one of: ", known));
  }
}

}  // namespace rebound
