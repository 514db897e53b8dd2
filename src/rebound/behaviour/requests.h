// Requests that a model answers or refuses, and the sets of them that come with the project.
//
// A request file is JSON lines, one object each (empty lines are skipped):
//   {"id": "r1", "text": "Name a river.", "category": "imperative", "split": "train",
//    "cluster": 4, "harmful": false}
// "id" and "text" are required; "category" "" , "split" "test", "harmful" false by default.
// Reports show ids and categories of harmful requests, never their text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rebound {

struct Request {
  std::string id;  // unique within its file
  std::string text;
  std::string category;
  std::string split;  // train, val or test
  // Near-duplicates share it: intervals resample whole clusters. Given ones are >= 0; a request
  // without one has its own, < 0.
  int64_t cluster = -1;
  bool is_harmful = false;
};

// Throws IoError when the file cannot be read, else DataError "file:line: ..." for: an unknown key
// or wrong type, a missing or empty id or text, a split that is none of the three, a cluster < 0,
// an id used twice, a file without requests.
std::vector<Request> read_requests(const std::filesystem::path& path);

// data/refusal/<name>.jsonl, with data/NOTICES.md for the sources:
//   advbench     514 harmful instructions; about 40 % train, 60 % test, by cluster
//   harmbench    200 standard harmful behaviours; val 41, test 159, as published: 4 of test are
//                near-duplicates of one in val (the same cluster); elsewhere no cluster is split
//   harmless     300 train, 200 test; half imperatives, half questions
//   xstest_safe  250 safe prompts that look unsafe; train even numbers, test odd
// Throws ConfigError for another name, naming these; IoError when the file is not found.
std::vector<Request> request_set(const std::string& name);
std::vector<std::string> request_set_names();

// Those of one split, in their order.
std::vector<Request> requests_of_split(const std::vector<Request>& requests,
                                       const std::string& split);

}  // namespace rebound
