// Audits started from the page: child processes of the same program, one at a time.
//
//   RUNS/.serve/NAME.json   the spec          RUNS/.serve/NAME.log   what the child printed
//   RUNS/NAME/              the run, as rebound audit makes it
//
// A child is in a process group of its own, so that Ctrl-C on the terminal reaches the server
// alone, which then ends the child: SIGINT first, on which an audit stores what is finished.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

struct AuditJobsOptions {
  std::filesystem::path runs;     // the folder of runs
  std::filesystem::path program;  // rebound itself
  int threads = 0;                // of the child; 0: its own choice
};

class AuditJobs {
 public:
  explicit AuditJobs(AuditJobsOptions options);
  ~AuditJobs();  // stop_all

  // ConfigError when one is going on or the name is taken, IoError when no process starts.
  void start(const std::string& name, const Json& spec);
  // Asks the audit of this name to end; false when none is going on.
  bool stop(const std::string& name);
  // SIGINT, once more after `patience_seconds`, SIGKILL after as many again.
  void stop_all(double patience_seconds = 3);

  // [{"name", "state": "running" | "ended" | "stopped" | "failed", "note": its last line}]
  Json list();

 private:
  struct Job {
    std::string name;
    pid_t pid = 0;
    bool is_running = false;
    int exit_code = 0;  // 128 + signal when a signal ended it
  };
  Job* running();
  void collect(Job& job, bool is_waiting);
  bool wait_for(Job& job, double seconds);
  std::filesystem::path file_of(const std::string& name, const char* suffix) const;
  pid_t spawn(const std::string& name) const;

  AuditJobsOptions options_;
  std::mutex mutex_;
  std::vector<Job> jobs_;
};

}  // namespace rebound
