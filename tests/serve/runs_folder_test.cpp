#include "rebound/serve/runs_folder.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "serve/run_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

TEST(RunsFolderTest, FinishedAndStoppedRunsAreListed) {
  const fs::path root = fresh_folder("listed");
  make_finished_run(root / "done");
  make_going_run(root / "half way");
  fs::create_directory(root / "no run");
  write_file_atomically(root / "a file", "x");
  Json list = RunsFolder(root).list();
  ASSERT_EQ(list.size(), 2u);
  if (list[0]["name"] != "done") std::swap(list[0], list[1]);
  EXPECT_EQ(list[0]["state"], "finished");
  EXPECT_EQ(list[0]["verdict"], "non-specific");
  EXPECT_EQ(list[0]["n_valid"], 21);
  EXPECT_TRUE(list[0]["progress"].is_null());
  EXPECT_EQ(list[1]["name"], "half way");
  EXPECT_EQ(list[1]["state"], "stopped");
  EXPECT_EQ(list[1]["behaviour"], "ioi");
  EXPECT_EQ(list[1]["model"], "m.gguf");
  EXPECT_TRUE(list[1]["sae"].is_null());
  EXPECT_EQ(list[1]["n_prompts"], 3) << "training prompts do not count";
  EXPECT_EQ(list[1]["n_valid"], 2);
  EXPECT_EQ(list[1]["progress"], (Json{{"done", 1}, {"total", 4}}));
  EXPECT_EQ(list.dump().find("secret"), std::string::npos);
}

TEST(RunsFolderTest, PartialRowsAreCounted) {
  const fs::path root = fresh_folder("rows");
  make_going_run(root / "run");
  const RunsFolder runs(root);
  const Json details = runs.describe(*runs.find("run"));
  EXPECT_EQ(details["batches"], 2);
  ASSERT_EQ(details["rows"].size(), 1u);
  EXPECT_EQ(details["rows"][0],
            (Json{{"row", "encoder@20"}, {"tries", 3}, {"recovered", 2}, {"batches", 1}}));
}

TEST(RunsFolderTest, OnlyNamesOfTheListingAreFound) {
  const fs::path root = fresh_folder("names");
  make_going_run(root / "inside" / "run");
  make_going_run(root / "outside");
  const RunsFolder runs(root / "inside");
  EXPECT_TRUE(runs.find("run"));
  for (const char* name :
       {"", ".", "..", "../outside", "run/", "./run", "run/../run", "/", "*", "RUN", "run%00"}) {
    EXPECT_FALSE(runs.find(name)) << name;
  }
  EXPECT_FALSE(runs.find(std::string("run\0", 4)));
  EXPECT_FALSE(runs.find((root / "inside" / "run").string()));
}

TEST(RunsFolderTest, LinksAreLeftOut) {
  const fs::path root = fresh_folder("links");
  make_finished_run(root / "outside");
  fs::create_directory(root / "inside");
  fs::create_directory_symlink(root / "outside", root / "inside" / "linked");
  fs::create_directory(root / "inside" / "made");
  fs::create_symlink(root / "outside" / "run.sqlite", root / "inside" / "made" / "run.sqlite");
  make_going_run(root / "inside" / "summary");
  fs::create_symlink(root / "outside" / "summary.json",
                     root / "inside" / "summary" / "summary.json");
  EXPECT_EQ(RunsFolder(root / "inside").list(), Json::array());
}

TEST(RunsFolderTest, DamagedRunsSaySo) {
  const fs::path root = fresh_folder("damaged");
  fs::create_directory(root / "text");
  write_file_atomically(root / "text" / "run.sqlite", std::string(5000, 'x'));
  make_finished_run(root / "summary");
  write_file_atomically(root / "summary" / "summary.json", "{\"rows\": 3");
  for (const Json& entry : RunsFolder(root).list()) {
    EXPECT_EQ(entry["state"], "damaged") << entry;
    EXPECT_FALSE(entry["note"].get<std::string>().empty());
  }
}

TEST(RunsFolderTest, AChangedSummaryIsReadAgain) {
  const fs::path root = fresh_folder("changed");
  make_finished_run(root / "run");
  const RunsFolder runs(root);
  EXPECT_EQ(runs.list()[0]["verdict"], "non-specific");
  AuditSummary summary = small_audit().summary;
  summary.verdict = "bottleneck at budget 20";
  write_file_atomically(root / "run" / "summary.json", summary.to_json().dump());
  EXPECT_EQ(runs.list()[0]["verdict"], "bottleneck at budget 20");
}

TEST(RunsFolderTest, AFolderMustBeThere) {
  EXPECT_NE(message_of<IoError>([] { RunsFolder("/no/such/folder"); }).find("no such folder"),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
