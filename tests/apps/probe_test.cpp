// rebound probe: its JSON contract on a small task, and one line for everything that cannot be
// done.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "support/failures.h"
#include "support/program.h"

namespace rebound {
namespace {

Outcome probe(const std::string& flags) {
  return run_program("probe --quiet --threads 2 " + flags);
}

std::filesystem::path file_with(const std::string& lines) {
  const auto path = fresh_folder("probe") / "task.jsonl";
  write_file_atomically(path, lines);
  return path;
}

// Numbers against colours, 6 of each for training and 3 for testing, and one copy too many.
std::string small_task() {
  const std::vector<std::string> numbers = {
      "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"};
  const std::vector<std::string> colours = {
      "red", "blue", "green", "white", "black", "pink", "grey", "brown", "yellow"};
  std::string lines;
  const auto add = [&](const std::string& text, bool label, bool is_test) {
    lines +=
        Json{{"text", text}, {"label", label}, {"split", is_test ? "test" : "train"}}.dump() + "\n";
  };
  for (size_t i = 0; i < numbers.size(); ++i) {
    add("I saw " + numbers[i] + " of them", true, i >= 6);
    add("I saw the " + colours[i] + " one", false, i >= 6);
  }
  add("I saw ONE of them.", true, true);
  return lines;
}

TEST(ProbeTest, JsonHasARowForEachProbeAndSplit) {
  const auto path = file_with(small_task());
  const Outcome outcome = probe("--json --draws 20 --k 1,2 --cache-mb 0 --data " + path.string());
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = parse_json(outcome.text, "probe");
  ASSERT_EQ(json["rows"].size(), 2u * (3 + 2 * 2));
  for (const Json& row : json["rows"]) {
    EXPECT_EQ(row["probe"] == "sae", row["k"].is_number()) << row;
    for (const char* key : {"auroc", "ci_low", "ci_high", "tpr_at_1pct_fpr"}) {
      EXPECT_GE(row[key].get<double>(), 0) << row;
      EXPECT_LE(row[key].get<double>(), 1) << row;
    }
  }
  EXPECT_EQ(json["rows"][0]["probe"], "dense");
  EXPECT_EQ(json["rows"][0]["split"], "train");
  EXPECT_EQ(json["rows"][0]["auroc"], 1);  // 12 texts in 576 dimensions
  EXPECT_EQ(json["texts"]["test"]["positive"], 3);
  EXPECT_EQ(json["dropped"]["across_splits"].size(), 1u);
  EXPECT_EQ(json["hook"], "blocks.12.hook_resid_pre");
}

TEST(ProbeTest, AHookAloneGivesTheDenseProbeAndItsFile) {
  const auto path = file_with(small_task());
  const auto out = path.parent_path() / "out";
  const Outcome outcome = probe("--hook blocks.1.hook_resid_pre --pool -1 --draws 20 --data " +
                                path.string() + " --out " + out.string());
  ASSERT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.text.find("pool last, blocks.1.hook_resid_pre"), std::string::npos)
      << outcome.text;
  EXPECT_NE(outcome.text.find("dropped: 0 repeated, 1 across splits"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(out / "dense.safetensors"));
  EXPECT_EQ(read_json_file(out / "probe.json")["rows"].size(), 2u);
}

TEST(ProbeTest, TasksAreListed) {
  const Outcome outcome = probe("--list --json");
  ASSERT_EQ(outcome.exit_code, 0);
  const Json tasks = parse_json(outcome.text, "list")["tasks"];
  EXPECT_GE(tasks.size(), 11u);
  EXPECT_EQ(tasks[0]["task"], "harmful_intent");
  for (const char* split : {"train", "test", "ood", "hard"}) {
    EXPECT_GE(tasks[0]["texts"][split]["positive"].get<int>(), 190) << split;
    EXPECT_GE(tasks[0]["texts"][split]["negative"].get<int>(), 190) << split;
  }
}

TEST(ProbeTest, WhatCannotBeDoneIsOneLineWithItsExitCode) {
  const auto good = file_with(small_task()).string();
  const auto folder = fresh_folder("bad");
  const auto bad = [&](const std::string& name, const std::string& lines) {
    write_file_atomically(folder / name, lines);
    return "--data " + (folder / name).string();
  };
  const auto run_of_ioi = fresh_folder("ioi");
  write_file_atomically(run_of_ioi / "spec.json", "{\"behaviour\": {\"kind\": \"ioi\"}}");
  struct Case {
    std::string flags;
    int exit_code;
    std::string text;
  };
  const std::vector<Case> cases = {
      {bad("empty", ""), 3, "got no texts"},
      {bad("one", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 1}"),
       3,
       "positive and 0 negative"},
      {bad("three", "{\"text\": \"a\", \"label\": 2}"), 3, "label: got 2, expected 0 or 1"},
      {"--data no-such-file.jsonl", 5, "no-such-file.jsonl"},
      {"--task no_such_task",
       2,
       "--task: got no_such_task, expected one of: harmful_intent, athlete"},
      {"--pool median --data " + good, 2, "pool: got median"},
      {"--hook nowhere --data " + good, 2, "nowhere"},
      {"--hook blocks.99.hook_resid_pre --data " + good, 2, "blocks.99"},
      {"--hook blocks.1.hook_resid_pre --pool -40 --data " + good, 3, "position -40"},
      {"--k 50 --draws 5 --data " + good, 2, "k: got 50, expected 1 to 12"},
      {"--k 1 --hook blocks.1.hook_resid_pre --data " + good, 2, "--k: got it with --hook"},
      {"--sae no-such-folder --data " + good, 5, "no-such-folder"},
      {"--monitor no-such-run", 5, "no-such-run/spec.json"},
      {"--monitor " + run_of_ioi.string(),
       2,
       "got a run of \"ioi\", expected one of whole answers"},
      {"--cache-mb -1 --data " + good, 2, "--cache-mb must be >= 0"}};
  for (const Case& one : cases) {
    const Outcome outcome = probe(one.flags + " 2>&1 >/dev/null");
    EXPECT_EQ(outcome.exit_code, one.exit_code) << one.flags;
    EXPECT_NE(outcome.text.find(one.text), std::string::npos) << one.flags << ": " << outcome.text;
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
  }
}

}  // namespace
}  // namespace rebound
