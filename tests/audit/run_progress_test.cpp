#include "rebound/audit/run_progress.h"

#include <gtest/gtest.h>

#include "audit/audit_fixture.h"
#include "rebound/audit/runner.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

using RunProgressTest = RunFolderTest;

// 3 rows (2 attacks, clamp_only) of one batch of 48 prompts, all of them flips; read while the run has its store open.
TEST_F(RunProgressTest, ARunSaysHowFarItIs) {
  std::vector<int64_t> done;
  int64_t total = 0;
  run_audit(toy_spec("toy-leaky"), folder(), [&] {
    const RunProgress progress = read_progress(folder() / "run.sqlite");
    EXPECT_EQ(progress.n_prompts, 48);
    EXPECT_EQ(progress.n_valid, 48);
    done.push_back(progress.n_done());
    total = progress.plan ? progress.plan->n_parts() : 0;
    return false;
  });
  EXPECT_EQ(done, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(total, 3);
  const RunProgress end = read_progress(folder() / "run.sqlite");
  EXPECT_EQ(end.n_done(), 3);
  ASSERT_EQ(end.rows.size(), 3u);
  EXPECT_EQ(end.rows[0].row, end.plan->rows[0]);
  EXPECT_EQ(end.rows[0].tries, 48);
  EXPECT_GT(end.rows[0].recovered, 0);
}

TEST_F(RunProgressTest, ANewStoreAndOneOfAnOlderVersionHaveNoPlan) {
  Store store = Store::create(folder("store.sqlite"));
  const RunProgress empty = read_progress(folder("store.sqlite"));
  EXPECT_EQ(empty.n_prompts, 0);
  EXPECT_TRUE(empty.rows.empty());
  EXPECT_FALSE(empty.plan);
  for (const char* plan : {"", "3", "{\"rows\": 1}", "{\"rows\": [], \"batches\": \"x\"}"}) {
    store.put_meta("plan", plan);
    EXPECT_FALSE(read_progress(folder("store.sqlite")).plan) << plan;
  }
}

TEST_F(RunProgressTest, WhatIsNoStoreIsAnError) {
  write_file_atomically(folder("text.sqlite"), std::string(5000, 'x'));
  EXPECT_THROW(read_progress(folder("text.sqlite")), DataError);
  EXPECT_THROW(read_progress(folder("missing.sqlite")), IoError);
}

}  // namespace
}  // namespace rebound
