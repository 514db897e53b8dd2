#include "rebound/base/parallel.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "support/failures.h"

namespace rebound {
namespace {

// With one thread parts run one after the other, with three side by side: the same laws.
class RunPartsTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { at::set_num_threads(GetParam()); }
  void TearDown() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_P(RunPartsTest, EveryPartRunsOnce) {
  for (const int64_t n : {0, 1, 2, 3, 50}) {
    std::vector<std::atomic<int>> count(static_cast<size_t>(n));
    run_parts(n, [&](int64_t i) { ++count[static_cast<size_t>(i)]; });
    for (const auto& times : count) EXPECT_EQ(times.load(), 1) << n;
  }
}

TEST_P(RunPartsTest, TheExceptionOfTheLowestPartIsThrown) {
  const auto body = [] {
    run_parts(20, [](int64_t i) {
      if (i % 7 == 3) throw std::runtime_error("part " + std::to_string(i));
    });
  };
  for (int repeat = 0; repeat < 20; ++repeat)
    EXPECT_EQ(message_of<std::runtime_error>(body), "part 3");
}

TEST_P(RunPartsTest, PartsHaveTheGradModeOfTheCaller) {
  for (const bool is_on : {true, false}) {
    const at::AutoGradMode mode(is_on);
    std::atomic<int> agreeing{0};
    run_parts(12, [&](int64_t) { agreeing += at::GradMode::is_enabled() == is_on; });
    EXPECT_EQ(agreeing.load(), 12);
    EXPECT_EQ(at::GradMode::is_enabled(), is_on);
  }
}

TEST_P(RunPartsTest, NestedPartsAllRun) {
  std::array<std::atomic<int>, 12> count{};
  run_parts(3, [&](int64_t i) {
    run_parts(4, [&](int64_t j) { ++count[static_cast<size_t>(4 * i + j)]; });
  });
  for (const auto& times : count) EXPECT_EQ(times.load(), 1);
}

TEST_P(RunPartsTest, ThreadsAreTheCallersAgainAfterwards) {
  std::atomic<int> single{0};
  run_parts(6, [&](int64_t) { single += at::get_num_threads() == 1; });
  EXPECT_EQ(single.load(), 6);
  EXPECT_EQ(worker_count(), GetParam());
  EXPECT_ANY_THROW(run_parts(6, [](int64_t) { throw std::runtime_error("x"); }));
  EXPECT_EQ(worker_count(), GetParam());
}

TEST_P(RunPartsTest, RangesMakeUpTheWholeOfAGrainEachAtLeast) {
  for (const int64_t n : {0, 1, 15, 16, 47, 1000}) {
    std::vector<std::atomic<int>> count(static_cast<size_t>(n));
    run_ranges(n, 16, [&](int64_t begin, int64_t end) {
      EXPECT_TRUE(end - begin >= 16 || end - begin == n) << n;
      for (int64_t i = begin; i < end; ++i) ++count[static_cast<size_t>(i)];
    });
    for (const auto& times : count) EXPECT_EQ(times.load(), 1) << n;
  }
}

TEST_P(RunPartsTest, RangesRunSideBySide) {
  std::mutex mutex;
  std::condition_variable arrival;
  int here = 0;
  run_ranges(48, 16, [&](int64_t, int64_t) {
    std::unique_lock lock(mutex);
    ++here;
    arrival.notify_all();
    EXPECT_TRUE(arrival.wait_for(lock, std::chrono::seconds(10), [&] { return here == GetParam(); }));
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, RunPartsTest, ::testing::Values(1, 3));

}  // namespace
}  // namespace rebound
