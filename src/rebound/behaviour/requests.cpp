#include "rebound/behaviour/requests.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/behaviour/project_path.h"

namespace rebound {
namespace {

Request read_request(const Json& json, const std::string& where) {
  ObjectReader fields(json, where);
  Request request = {.id = fields.get<std::string>("id"),
                     .text = fields.get<std::string>("text"),
                     .category = fields.get<std::string>("category", ""),
                     .split = fields.get<std::string>("split", "test"),
                     .cluster = fields.get<int64_t>("cluster", -1),
                     .is_harmful = fields.get<bool>("harmful", false)};
  fields.finish();
  const bool has_words = request.text.find_first_not_of(" \t\r\n") != std::string::npos;
  require<DataError>(!request.id.empty(), where, ": id is empty");
  require<DataError>(has_words, where, ": text is empty");
  const bool is_split =
      request.split == "train" || request.split == "val" || request.split == "test";
  require<DataError>(is_split,
                     where,
                     ": split: got ",
                     Json(request.split).dump().substr(0, 80),
                     ", expected train, val or test");
  require<DataError>(
      !fields.has("cluster") || request.cluster >= 0, where, ": cluster must be >= 0");
  return request;
}

// A request file is data: what is wrong with its keys is a DataError, too.
Request read_request_line(const std::string& line, const std::string& where) {
  try {
    return read_request(parse_json(line, where), where);
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

}  // namespace

std::vector<Request> read_requests(const std::filesystem::path& path) {
  std::istringstream lines(read_text_file(path));
  std::vector<Request> requests;
  std::set<std::string> seen;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(path.string(), ":", number);
    Request request = read_request_line(line, where);
    if (request.cluster < 0) request.cluster = -number;
    require<DataError>(seen.insert(request.id).second,
                       where,
                       ": id ",
                       Json(request.id).dump().substr(0, 80),
                       " is used twice");
    requests.push_back(std::move(request));
  }
  require<DataError>(!requests.empty(), path.string(), ": got no requests, expected one a line");
  return requests;
}

std::vector<std::string> request_set_names() {
  return {"advbench", "harmbench", "harmless", "xstest_safe"};
}

std::vector<Request> request_set(const std::string& name) {
  std::string known;
  bool is_known = false;
  for (const std::string& one : request_set_names()) {
    known += (known.empty() ? "" : ", ") + one;
    is_known = is_known || one == name;
  }
  require<ConfigError>(is_known, "request set: got ", name, ", expected one of: ", known);
  return read_requests(find_project_path("data/refusal/" + name + ".jsonl"));
}

std::vector<Request> requests_of_split(const std::vector<Request>& requests,
                                       const std::string& split) {
  std::vector<Request> chosen;
  std::copy_if(requests.begin(), requests.end(), std::back_inserter(chosen), [&](const Request& r) {
    return r.split == split;
  });
  return chosen;
}

}  // namespace rebound
