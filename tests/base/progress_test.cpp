#include "rebound/base/progress.h"

#include <regex>

#include "support/failures.h"

namespace rebound {
namespace {

// What `body` writes to stderr, which is no terminal here.
std::string written(ProgressMode mode, const std::function<void()>& body) {
  set_progress_mode(mode);
  ::testing::internal::CaptureStderr();
  body();
  set_progress_mode(ProgressMode::kAuto);
  return ::testing::internal::GetCapturedStderr();
}

TEST(ProgressTest, QuietWritesNothing) {
  EXPECT_EQ(written(ProgressMode::kQuiet,
                    [] {
                      Progress progress("harvest", 10);
                      progress.update(3, "FVU 0.1");
                      say("a line");
                    }),
            "");
}

TEST(ProgressTest, SayIsOnePlainLine) {
  EXPECT_EQ(written(ProgressMode::kAuto, [] { say("a line 100%"); }), "a line 100%\n");
}

TEST(ProgressTest, PlainOutputIsTheFirstAndTheLastLine) {
  const std::string text = written(ProgressMode::kAuto, [] {
    Progress progress("harvest", 4);
    for (int64_t i = 0; i <= 4; ++i) progress.update(i, "L0 " + std::to_string(30 + i));
  });
  const std::regex expected("harvest  0/4  \\d+:\\d\\d\nharvest  4/4  \\d+:\\d\\d  L0 34\n");
  EXPECT_TRUE(std::regex_match(text, expected)) << text;
}

TEST(ProgressTest, UnfinishedWorkSaysHowLongIsLeft) {
  const std::string text = written(ProgressMode::kAuto, [] { Progress("x", 4).update(1); });
  EXPECT_TRUE(std::regex_search(text, std::regex("x  1/4  \\d+:\\d\\d, \\d+:\\d\\d left\n$")))
      << text;
}

TEST(ProgressTest, AnUnknownTotalCountsOnly) {
  const std::string text = written(ProgressMode::kAuto, [] { Progress("x", 0).update(5); });
  EXPECT_TRUE(std::regex_match(text, std::regex("x  0  \\d+:\\d\\d\nx  5  \\d+:\\d\\d\n"))) << text;
}

TEST(ProgressTest, MoreDoneThanPlannedStaysPrintable) {
  const std::string text = written(ProgressMode::kAuto, [] { Progress("x", 2).update(7, "d"); });
  EXPECT_TRUE(std::regex_search(text, std::regex("x  7/2  \\d+:\\d\\d  d\n$"))) << text;
}

}  // namespace
}  // namespace rebound
