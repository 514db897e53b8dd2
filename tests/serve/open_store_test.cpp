#include "rebound/serve/open_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/run_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

TEST(OpenStoreTest, ALockOfAnotherProcessOnTheFileCounts) {
  const std::string locks =
      "1: POSIX  ADVISORY  READ 5518 fe:00:104 128 128\n"
      "1: -> POSIX  ADVISORY  WRITE 77 fe:00:105 0 EOF\n"
      "2: FLOCK  ADVISORY  WRITE 600 08:01:106 0 EOF\n"
      "nonsense\n";
  EXPECT_TRUE(has_lock_of_other(locks, 104, 1));
  EXPECT_TRUE(has_lock_of_other(locks, 106, 1));
  EXPECT_FALSE(has_lock_of_other(locks, 104, 5518)) << "its own lock";
  EXPECT_FALSE(has_lock_of_other(locks, 10, 1)) << "no part of a number";
  EXPECT_FALSE(has_lock_of_other("", 104, 1));
}

TEST(OpenStoreTest, AStoreIsOpenWhileAnotherProcessHasIt) {
  if (access("/proc/locks", R_OK) != 0) GTEST_SKIP() << "no /proc/locks here";
  const auto run = fresh_folder("open") / "run";
  int ready[2], leave[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(leave), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    const Store store = make_going_run(run);
    if (write(ready[1], &byte, 1) != 1 || read(leave[0], &byte, 1) != 1) _exit(2);
    _exit(0);  // as kill -9 would: the -shm file stays
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(is_store_open_elsewhere(run / "run.sqlite"));
  EXPECT_EQ(read_progress(run / "run.sqlite").n_done(), 1) << "read beside the writer";
  ASSERT_EQ(write(leave[1], &byte, 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(is_store_open_elsewhere(run / "run.sqlite"));
}

TEST(OpenStoreTest, NoStoreIsNotOpen) {
  EXPECT_FALSE(is_store_open_elsewhere(fresh_folder("none") / "run.sqlite"));
}

}  // namespace
}  // namespace rebound
