// Folders of runs for tests: finished, going on, stopped; and a gate whose token is known.
#pragma once

#include <filesystem>
#include <string>

#include "rebound/audit/run_progress.h"
#include "rebound/audit/store.h"
#include "rebound/base/file.h"
#include "rebound/serve/gate.h"
#include "report/small_audit.h"

namespace rebound {

inline const std::string kToken(64, 'a');
constexpr int kTestPort = 4321;

inline GateOptions test_gate() {
  return {.token = kToken, .port = kTestPort, .now_seconds = [] { return 0.0; }};
}

inline HttpRequest request_to(const std::string& rest) {
  return {.path = "/" + kToken + rest, .headers = {{"host", "127.0.0.1:4321"}}};
}

inline HttpRequest post_to(const std::string& rest, const std::string& body) {
  HttpRequest request = request_to(rest);
  request.method = "POST";
  request.body = body;
  request.headers["content-type"] = "application/json";
  request.headers["content-length"] = std::to_string(body.size());
  return request;
}

// Two rows in two batches planned, one batch of the first done: 2 of 3 tries recovered.
inline Store make_going_run(const std::filesystem::path& run) {
  std::filesystem::create_directories(run);
  write_file_atomically(run / "spec.json",
                        R"({"behaviour": {"kind": "ioi"}, "model": "folder/m.gguf", "sae": ""})");
  Store store = Store::create(run / "run.sqlite");
  store.put_examples({{.prompt = 0, .id = "p-0", .text = "secret prompt", .is_valid = true},
                      {.prompt = 1, .id = "p-1", .text = "secret prompt", .is_valid = true},
                      {.prompt = 2, .id = "p-2", .text = "secret prompt", .is_valid = false},
                      {.prompt = 3, .id = "p-3", .is_valid = true, .split = "train"}});
  put_plan(store, {.rows = {"encoder@20", "none@20"}, .batches = 2});
  FinishedBatch batch{.row = "encoder@20", .batch = 0};
  for (int64_t i = 0; i < 3; ++i) batch.results.push_back({.prompt = i, .recovered = i < 2});
  store.put_batch(batch);
  return store;
}

inline void make_finished_run(const std::filesystem::path& run) {
  make_going_run(run);
  write_file_atomically(run / "summary.json", small_audit().summary.to_json().dump());
}

}  // namespace rebound
