// rebound tpp: its JSON contract on a small task, and one line for everything that cannot be done.
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

Outcome tpp(const std::string& flags) { return run_program("tpp --quiet --threads 2 " + flags); }

std::string file_with(const std::string& name, const std::string& lines) {
  const auto path = fresh_folder(name) / "task.jsonl";
  write_file_atomically(path, lines);
  return path.string();
}

// Numbers, colours and animals, 6 of each for training and 3 for testing.
std::string small_class_task() {
  const std::vector<std::vector<std::string>> words = {
      {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine"},
      {"red", "blue", "green", "white", "black", "pink", "grey", "brown", "yellow"},
      {"cat", "dog", "horse", "cow", "pig", "sheep", "goat", "mouse", "wolf"}};
  std::string lines;
  for (size_t c = 0; c < words.size(); ++c) {
    for (size_t i = 0; i < words[c].size(); ++i) {
      lines += Json{{"text", "I saw the " + words[c][i]},
                    {"label", c},
                    {"split", i >= 6 ? "test" : "train"}}
                   .dump() +
               "\n";
    }
  }
  return lines;
}

TEST(TppVerbTest, JsonHasARowForEachClassAndN) {
  const auto out = fresh_folder("out");
  const Outcome outcome =
      tpp("--json --n 50,5 --data " + file_with("good", small_class_task()) + " --out " + out.string());
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = parse_json(outcome.text, "tpp");
  ASSERT_EQ(json["rows"].size(), 3u * 2);
  for (const Json& row : json["rows"]) {
    for (const char* key : {"class",
                            "n",
                            "tpp",
                            "n_valid",
                            "recovered_none",
                            "recovered_encoder",
                            "reactivated_fraction",
                            "certificate_ratio",
                            "zero_reactivation_none",
                            "zero_reactivation_encoder",
                            "drift_pre_none",
                            "drift_pre_encoder",
                            "drift_post_none",
                            "drift_post_encoder"}) {
      EXPECT_TRUE(row.contains(key)) << key;
    }
    EXPECT_EQ(row["n_valid"] == 0, row["certificate_ratio"].is_null()) << row;
    if (row["n_valid"] == 0) continue;
    EXPECT_GE(row["certificate_ratio"].get<double>(), 0.99) << row;
    EXPECT_LE(row["certificate_ratio"].get<double>(), 1 + 1e-5) << row;
    EXPECT_LE(row["drift_pre_encoder"].get<double>(), row["drift_pre_none"].get<double>()) << row;
  }
  EXPECT_EQ(json["rows"][0]["n"], 5);
  EXPECT_EQ(json["scores"].size(), 2u);
  EXPECT_EQ(json["texts"]["0"]["test"], 3);
  EXPECT_EQ(json["threat"], "after_clamp");
  EXPECT_EQ(read_json_file(out / "tpp.json")["rows"], json["rows"]);
}

// Labels and wrappers of two kinds, every combination twice in each split.
std::string doubly_labelled() {
  std::string lines;
  for (const char* split : {"train", "test"}) {
    const bool is_train = std::string(split) == "train";
    for (int i = 0; i < 16; ++i) {
      const bool label = i % 2 == 1, spurious = i / 2 % 2 == 1;
      const std::string animal = label ? (is_train ? "cat" : "dog") : (is_train ? "blue" : "green");
      lines +=
          Json{{"text",
                concat(spurious ? "Yesterday I bought the " : "Where is the ", animal, " ", i / 4)},
               {"label", label ? 1 : 0},
               {"spurious", spurious ? 1 : 0},
               {"split", split}}
              .dump() +
          "\n";
    }
  }
  return lines;
}

TEST(TppVerbTest, ScrHasARowForEachDirectionAndN) {
  const auto out = fresh_folder("scr");
  const Outcome outcome = tpp("--scr --json --l2 1 --n 20,5 --data " +
                              file_with("two", doubly_labelled()) + " --out " + out.string());
  ASSERT_EQ(outcome.exit_code, 0) << outcome.text;
  const Json json = parse_json(outcome.text, "scr");
  ASSERT_EQ(json["rows"].size(), 4u);
  EXPECT_EQ(json["n_train_biased"], 8);
  EXPECT_EQ(json["n_test"], 16);
  double least = 1;
  for (const Json& row : json["rows"])
    least = std::min(least, row["accuracy_original"].get<double>());
  for (const Json& row : json["rows"]) {
    if (row["is_reported"].get<bool>()) {
      EXPECT_EQ(row["accuracy_original"], least);
    }
  }
  EXPECT_EQ(json["scores"].size(), 2u);
  EXPECT_EQ(read_json_file(out / "scr.json"), json);
}

TEST(TppVerbTest, TasksAreListed) {
  const Outcome outcome = tpp("--list --json");
  ASSERT_EQ(outcome.exit_code, 0);
  const Json tasks = parse_json(outcome.text, "list")["tasks"];
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0]["task"], "athlete_sport_3");
  EXPECT_EQ(tasks[1]["texts"].size(), 6u);
}

TEST(TppVerbTest, WhatCannotBeDoneIsOneLineWithItsExitCode) {
  const std::string good = " --data " + file_with("good", small_class_task());
  const std::string one_class = file_with("one",
                                          "{\"text\": \"a\", \"label\": 0, \"split\": \"train\"}\n"
                                          "{\"text\": \"b\", \"label\": 0, \"split\": \"test\"}\n");
  struct Case {
    std::string flags;
    int exit_code;
    std::string text;
  };
  const std::vector<Case> cases = {
      {"--data " + one_class, 3, "got 1 class, expected two or more"},
      {"--task no_such_task",
       2,
       "--task: got no_such_task, expected one of: athlete_sport_3, wikitext"},
      {"--n 9000" + good, 2, "--n: got 9000, expected 1 to 8192"},
      {"--n 0" + good, 2, "--n: got 0"},
      {"--budget -1" + good, 2, "budget must be > 0, got -1"},
      {"--perturbed -2" + good, 2, "perturbed must be >= 0"},
      {"--data no-such-file.jsonl", 5, "no-such-file.jsonl"},
      {"--sae no-such-folder" + good, 5, "no-such-folder"},
      {"--scr" + good, 3, "spurious"},
      {"--scr --n 9000 --data " + file_with("two", doubly_labelled()),
       2,
       "n: got 9000, expected 1 to 8192"},
      {"--cache-mb -1" + good, 2, "--cache-mb must be >= 0"}};
  for (const Case& one : cases) {
    const Outcome outcome = tpp(one.flags + " 2>&1 >/dev/null");
    EXPECT_EQ(outcome.exit_code, one.exit_code) << one.flags;
    EXPECT_NE(outcome.text.find(one.text), std::string::npos) << one.flags << ": " << outcome.text;
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
  }
}

}  // namespace
}  // namespace rebound
