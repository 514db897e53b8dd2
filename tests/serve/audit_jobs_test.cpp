#include "rebound/serve/audit_jobs.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

// A program that says what it was called with, then does `body`.
fs::path script_in(const fs::path& folder, const std::string& body) {
  const fs::path script = folder / "program";
  write_file_atomically(script, "#!/bin/sh\necho \"$@\"\n" + body + "\n");
  fs::permissions(script, fs::perms::owner_all);
  return script;
}

Json wait_for_end(AuditJobs& jobs) {
  Json list = jobs.list();
  for (int i = 0; i < 500 && list.back()["state"] == "running"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    list = jobs.list();
  }
  return list.back();
}

TEST(AuditJobsTest, AnAuditIsStartedWithItsSpec) {
  const fs::path root = fresh_folder("started"), runs = root / "runs";
  fs::create_directory(runs);
  AuditJobs jobs({.runs = runs, .program = script_in(root, ""), .threads = 3});
  jobs.start("my-run", {{"seed", 7}});
  const Json job = wait_for_end(jobs);
  EXPECT_EQ(job["name"], "my-run");
  EXPECT_EQ(job["state"], "ended");
  EXPECT_EQ(job["note"],
            concat("audit ",
                   (runs / ".serve/my-run.json").string(),
                   " --out ",
                   (runs / "my-run").string(),
                   " --threads 3"));
  EXPECT_EQ(read_json_file(runs / ".serve" / "my-run.json")["seed"], 7);
}

TEST(AuditJobsTest, AFailureKeepsItsLastLine) {
  const fs::path root = fresh_folder("failed");
  AuditJobs jobs({.runs = root,
                  .program = script_in(root, "echo 'rebound: no such model' >&2; echo; exit 5")});
  jobs.start("run", {});
  const Json job = wait_for_end(jobs);
  EXPECT_EQ(job["state"], "failed");
  EXPECT_EQ(job["note"], "rebound: no such model");
}

TEST(AuditJobsTest, OneAtATimeAndItCanBeStopped) {
  const fs::path root = fresh_folder("one");
  AuditJobs jobs({.runs = root,
                  .program = script_in(
                      root, "trap 'exit 130' INT; echo ready; while :; do sleep 0.02; done")});
  jobs.start("first", {});
  EXPECT_NE(message_of<ConfigError>([&] { jobs.start("second", {}); }).find("first is going on"),
            std::string::npos);
  EXPECT_FALSE(jobs.stop("second"));
  while (jobs.list().back()["note"] != "ready")
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(jobs.stop("first"));
  EXPECT_EQ(wait_for_end(jobs)["state"], "stopped");
  EXPECT_FALSE(jobs.stop("first"));
  EXPECT_NO_THROW(jobs.start("second", {}));
}

TEST(AuditJobsTest, TheEndOfTheServerEndsAStubbornChild) {
  const fs::path root = fresh_folder("stubborn");
  AuditJobs jobs(
      {.runs = root, .program = script_in(root, "trap '' INT; echo ready; exec sleep 60")});
  jobs.start("run", {});
  while (jobs.list().back()["note"] != "ready")
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  jobs.stop_all(0.05);
  EXPECT_EQ(jobs.list().back()["state"], "failed") << "killed";
}

TEST(AuditJobsTest, NamesThatAreTakenOrPathsAreRefused) {
  const fs::path root = fresh_folder("names");
  fs::create_directory(root / "there");
  fs::create_symlink("/no/such/place", root / "dangling");
  AuditJobs jobs({.runs = root, .program = script_in(root, "")});
  for (const char* name : {"there", "dangling", "../there", ".serve", ""}) {
    EXPECT_THROW(jobs.start(name, {}), ConfigError) << name;
  }
  EXPECT_EQ(jobs.list(), Json::array());
}

TEST(AuditJobsTest, AProgramThatIsNotThereIsAnError) {
  const fs::path root = fresh_folder("missing");
  AuditJobs jobs({.runs = root, .program = root / "no-program"});
  EXPECT_THROW(jobs.start("run", {}), IoError);
}

}  // namespace
}  // namespace rebound
