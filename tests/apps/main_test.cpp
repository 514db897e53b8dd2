// The program itself: exit codes and where its words go.
#include <gtest/gtest.h>

#include <string>

#include "rebound/base/json.h"
#include "support/program.h"

namespace rebound {
namespace {

Outcome run(const std::string& arguments) { return run_program(arguments, REBOUND_PROGRAM); }

TEST(MainTest, VersionGoesToStdout) {
  const Outcome outcome = run("--version");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.text.rfind("rebound ", 0), 0u);
}

TEST(MainTest, UnknownVerbIsOneLineOnStderrAndExitCodeTwo) {
  const Outcome outcome = run("frobnicate 2>&1 >/dev/null");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.text, "rebound: unknown verb or flag: frobnicate (try --help)\n");
}

TEST(MainTest, BadFlagValueNamesTheChoices) {
  const Outcome outcome = run("doctor --dtype int8 2>&1");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.text.find("float32"), std::string::npos);
}

TEST(MainTest, FullStdoutIsAnErrorOfWriting) {
  EXPECT_EQ(run("doctor 2>/dev/null >/dev/full").exit_code, 5);
}

TEST(MainTest, DoctorPrintsOneJsonObject) {
  const Outcome outcome = run("doctor --json --threads 1 2>/dev/null");
  EXPECT_EQ(outcome.exit_code, 0);
  const Json facts = parse_json(outcome.text, "doctor");
  EXPECT_EQ(facts["threads"], 1);
  EXPECT_GT(facts["gflops"]["float32"].get<double>(), 0);
}

}  // namespace
}  // namespace rebound
