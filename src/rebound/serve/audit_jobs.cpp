#include "rebound/serve/audit_jobs.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/serve/start_audit.h"

extern char** environ;

namespace rebound {
namespace {

namespace fs = std::filesystem;
constexpr const char* kServeFolder = ".serve";
constexpr int kExitInterrupted = 130;
constexpr std::streamoff kTailBytes = 4096;
constexpr size_t kLongestNote = 400;

// The last line of a log that is not empty.
std::string last_line_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(0, std::ios::end);
  const std::streamoff size = file.tellg();
  if (size <= 0) return "";
  file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
  std::string line, last;
  while (std::getline(file, line)) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  }
  return last.substr(0, kLongestNote);
}

// Actions and attributes of posix_spawn, freed at the end.
struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;

  explicit SpawnSettings(const fs::path& log) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(
        &actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);  // sockets of readers
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigemptyset(&all);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) sigaddset(&all, signal);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

const char* state_of(bool is_running, int exit_code) {
  if (is_running) return "running";
  if (exit_code == 0) return "ended";
  const bool was_stopped = exit_code == kExitInterrupted || exit_code == 128 + SIGTERM;
  return was_stopped ? "stopped" : "failed";
}

}  // namespace

AuditJobs::AuditJobs(AuditJobsOptions options) : options_(std::move(options)) {}

AuditJobs::~AuditJobs() { stop_all(); }

fs::path AuditJobs::file_of(const std::string& name, const char* suffix) const {
  return options_.runs / kServeFolder / (name + suffix);
}

AuditJobs::Job* AuditJobs::running() {
  for (Job& job : jobs_) {
    if (job.is_running) collect(job, /*is_waiting=*/false);
    if (job.is_running) return &job;
  }
  return nullptr;
}

void AuditJobs::collect(Job& job, bool is_waiting) {
  int status = 0;
  const pid_t ended = waitpid(job.pid, &status, is_waiting ? 0 : WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return;
  job.is_running = false;
  job.exit_code = ended < 0             ? 1
                  : WIFEXITED(status)   ? WEXITSTATUS(status)
                  : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                        : 1;
}

pid_t AuditJobs::spawn(const std::string& name) const {
  const SpawnSettings settings(file_of(name, ".log"));
  std::vector<std::string> words = {options_.program.string(),
                                    "audit",
                                    file_of(name, ".json").string(),
                                    "--out",
                                    (options_.runs / name).string()};
  if (options_.threads > 0) {
    words.insert(words.end(), {"--threads", std::to_string(options_.threads)});
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawn(&pid,
                                options_.program.c_str(),
                                &settings.actions,
                                &settings.attributes,
                                arguments.data(),
                                environ);
  require<IoError>(error == 0, options_.program.string(), ": cannot start: ", std::strerror(error));
  return pid;
}

void AuditJobs::start(const std::string& name, const Json& spec) {
  check_run_name(name);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const Job* other = running())
    throw ConfigError(concat("the audit ", other->name, " is going on; one at a time"));
  std::error_code error;
  require<ConfigError>(!fs::exists(fs::symlink_status(options_.runs / name, error)),
                       "name: got \"",
                       name,
                       "\", which is taken, expected a new one");
  const fs::path folder = options_.runs / kServeFolder;
  fs::create_directory(folder, error);
  require<IoError>(fs::symlink_status(folder, error).type() == fs::file_type::directory,
                   folder.string(),
                   ": cannot make this folder");
  write_file_atomically(file_of(name, ".json"), spec.dump(2) + "\n");
  std::erase_if(jobs_, [&](const Job& job) { return job.name == name; });
  jobs_.push_back({.name = name, .pid = spawn(name), .is_running = true});
}

bool AuditJobs::stop(const std::string& name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Job* job = running();
  if (job == nullptr || job->name != name) return false;
  kill(job->pid, SIGINT);
  return true;
}

bool AuditJobs::wait_for(Job& job, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (job.is_running && Clock::now() < end) {
    collect(job, /*is_waiting=*/false);
    if (job.is_running) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return !job.is_running;
}

void AuditJobs::stop_all(double patience_seconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Job* job = running();
  if (job == nullptr) return;
  for (int i = 0; i < 2; ++i) {
    kill(job->pid, SIGINT);
    if (wait_for(*job, patience_seconds)) return;
  }
  kill(job->pid, SIGKILL);
  collect(*job, /*is_waiting=*/true);
}

Json AuditJobs::list() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Json list = Json::array();
  for (Job& job : jobs_) {
    if (job.is_running) collect(job, /*is_waiting=*/false);
    list.push_back({{"name", job.name},
                    {"state", state_of(job.is_running, job.exit_code)},
                    {"note", last_line_of(file_of(job.name, ".log"))}});
  }
  return list;
}

}  // namespace rebound
