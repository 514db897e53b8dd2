// The explorer: what `rebound serve` answers, as a function of requests to responses.
//
//   GET   /TOKEN/                             the page; explorer.css, explorer.js
//   GET   /TOKEN/api/runs                     RunsFolder::list, and audits started here
//   GET   /TOKEN/api/runs/NAME                RunsFolder::describe
//   GET   /TOKEN/runs/NAME/report             the report page of a finished run
//   GET   /TOKEN/api/bench                    state of the model, names, limits
//   POST  /TOKEN/api/bench/features|next      Bench::features, Bench::next_token
//   POST  /TOKEN/api/bench/generate           Bench::generate, a line of JSON a step
//   POST  /TOKEN/api/audits                   starts an audit; {"name"}
//   POST  /TOKEN/api/audits/NAME/stop         ends one that was started here
//
// The model is loaded by the first request that needs it. One request works with it at a time; the
// others get 429. Texts of stored prompts appear only with `show_text`. Safe to call from several
// threads.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "rebound/serve/audit_jobs.h"
#include "rebound/serve/bench.h"
#include "rebound/serve/gate.h"
#include "rebound/serve/http.h"
#include "rebound/serve/job_slot.h"
#include "rebound/serve/runs_folder.h"

namespace rebound {

struct ExplorerOptions {
  std::filesystem::path runs;
  std::filesystem::path program;  // that audits are started with
  int threads = 0;                // of such an audit; 0: its own choice
  BenchFiles bench = {};
  BenchLimits limits = {};
  GateOptions gate = {};
  bool show_text = false;
};

class Explorer {
 public:
  // IoError when the folder of runs cannot be listed.
  explicit Explorer(ExplorerOptions options);

  // What is refused before the body of a request is read.
  std::optional<HttpResponse> refusal(const HttpRequest& request) const;
  // Refuses too, counts requests, never throws.
  HttpResponse handle(const HttpRequest& request);

  // Streams end with their next token, audits started here are ended.
  void stop();

 private:
  using Segments = std::vector<std::string>;
  HttpResponse route(const HttpRequest& request, const std::string& rest);
  HttpResponse get(const std::string& rest, const Segments& parts);
  HttpResponse post(const HttpRequest& request, const Segments& parts);
  HttpResponse list_runs();
  HttpResponse report_of(const std::string& name) const;
  std::filesystem::path run_named(const std::string& name) const;
  HttpResponse bench_status() const;
  HttpResponse bench_call(const std::string& what, const Json& body);
  HttpResponse generation(BenchRequest request, JobSlot::Seat seat);
  HttpResponse start_audit(const Json& body);
  Bench& loaded_bench();  // the seat must be taken
  void set_status(const std::string& state, const std::string& note);

  ExplorerOptions options_;
  Gate gate_;
  RunsFolder runs_;
  AuditJobs jobs_;
  JobSlot slot_;
  std::optional<Bench> bench_;
  mutable std::mutex mutex_;
  Json status_;
  std::atomic<bool> is_stopped_{false};
};

}  // namespace rebound
