// rebound utility: its JSON contract, and one line for every file that is no defence.
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

Outcome utility(const std::string& flags) { return run_program("utility --quiet --threads 2 " + flags); }

std::string file_with(const Json& clamps) {
  const auto path = fresh_folder("utility") / "defence.json";
  write_file_atomically(path, clamps.dump());
  return path.string();
}

Json small_push() {
  return {{"site", "blocks.12.hook_resid_pre"},
          {"direction", std::vector<double>(576, 1.0)},
          {"edit", {{"kind", "add"}, {"strength", 0.5}}}};
}

// The words on stderr are one line that holds `words`.
void expect_utility_error(const std::string& flags, int exit_code, const std::string& words) {
  expect_one_line(utility(flags + " 2>&1 >/dev/null"), exit_code, words);
}

TEST(UtilityVerbTest, JsonHasTheFourFiguresAndTheirIntervals) {
  const Outcome outcome = utility(
      "--json --contexts 2 --facts 8 --asked 2 --safe 1 "
      "--max-new-tokens 4 --defence " +
      file_with(Json::array({small_push()})));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.text;
  const Json json = parse_json(outcome.text, "utility");
  for (const char* key : {"kl", "delta_ce", "false_refusals", "accuracy"}) {
    ASSERT_TRUE(json.at(key).is_number()) << key;
    const Json& interval = json.at("intervals").at(key);
    EXPECT_LE(interval.at("ci_low"), json.at(key)) << key;
    EXPECT_GE(interval.at("ci_high"), json.at(key)) << key;
  }
  EXPECT_GT(json.at("kl").get<double>(), 0);
  EXPECT_EQ(json.at("questions").at("right").at("after").at("n"), 2);
  EXPECT_EQ(json.at("defence").at("clamps").size(), 1u);
}

TEST(UtilityVerbTest, ATableWithoutJson) {
  const Outcome outcome = utility("--contexts 1 --facts 0 --asked 0 --safe 0 --defence " +
                                  file_with(Json::array({small_push()})));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.text.find("KL from the model as it was"), std::string::npos);
  EXPECT_EQ(outcome.text.find("facts"), std::string::npos);
}

TEST(UtilityVerbTest, WhatIsNoDefenceIsOneLineWithItsExitCode) {
  Json more = small_push();
  more["colour"] = 1;
  Json narrow = small_push();
  narrow["direction"] = {1, 2, 3};
  expect_utility_error("--defence absent.json", 5, "absent.json");
  expect_utility_error("--defence " + file_with(Json::array()), 2, "got no clamp");
  expect_utility_error("--defence " + file_with(Json::array({more})), 2, "unknown key \"colour\"");
  expect_utility_error("--defence " + file_with(Json::array({narrow})), 2, "expected the model's 576");
  expect_utility_error("", 2, "--defence");
  expect_utility_error("--contexts -1 --defence " + file_with(Json::array({small_push()})), 2, "-1");
}

TEST(UtilityVerbTest, BadQuestionsAndTextAreErrorsOfTheirFile) {
  const std::string defence = " --defence " + file_with(Json::array({small_push()}));
  const auto questions = fresh_folder("questions") / "q.jsonl";
  write_file_atomically(questions, "{\"id\": \"a\"}\n");
  expect_utility_error("--contexts 0 --facts 0 --safe 0 --asked 1 --questions absent.jsonl" + defence,
                  5,
                  "absent.jsonl");
  expect_utility_error(
      "--contexts 0 --facts 0 --safe 0 --asked 1 --questions " + questions.string() + defence,
      3,
      "q.jsonl:1");
  expect_utility_error(
      "--contexts 1 --facts 0 --safe 0 --asked 0 --text absent.txt" + defence, 5, "absent.txt");
}

}  // namespace
}  // namespace rebound
