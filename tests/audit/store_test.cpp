#include "rebound/audit/store.h"

#include <gtest/gtest.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              concat("rebound_store_",
                     ::getpid(),
                     "_",
                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = folder_ / "run.sqlite";
  }
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }

  fs::path folder_;
  fs::path path_;
};

FinishedBatch batch_of(const std::string& row, int64_t batch, int64_t size = 4) {
  FinishedBatch finished{.row = row, .batch = batch};
  for (int64_t i = 0; i < size; ++i) {
    finished.results.push_back(
        {.prompt = batch * size + i,
         .recovered = i % 2 == 0,
         .score = 0.5 * static_cast<double>(i),
         .recheck_score = NAN,
         .steps = 7,
         .seconds = 0.25,
         .termination = "converged",
         .figures = {{"drift_pre_rel", 0.125}, {"note", std::string(64, 'x')}}});
    finished.traces.push_back({.prompt = batch * size + i, .step = 1, .objective = 2, .norm = 3});
  }
  return finished;
}

std::string message_of_any_error(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST_F(StoreTest, GivesBackWhatWasPut) {
  {
    Store store = Store::create(path_);
    store.put_meta("spec", "{}");
    store.put_meta("spec", R"({"seed":1})");
    store.put_examples({{.prompt = 1, .id = "b", .ids = {5, 6}, .defended_score = NAN},
                        {.prompt = 0,
                         .id = "a",
                         .text = "'; DROP TABLE meta; --",
                         .correct = " Mary",
                         .wrong = " John",
                         .base_score = 4.5,
                         .defended_score = -1,
                         .is_valid = true,
                         .split = "train",
                         .extra = {{"template", "BABA"}}}});
    store.put_batch(batch_of("none", 0));
    store.put_artefact("delta/none/0", std::string("a\0b", 3));
  }
  const Store store = Store::open(path_);
  EXPECT_EQ(store.meta("spec"), R"({"seed":1})");
  EXPECT_EQ(store.meta("absent"), std::nullopt);
  const std::vector<StoredExample> examples = store.examples();
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(examples[0].text, "'; DROP TABLE meta; --");
  EXPECT_EQ(examples[0].correct, " Mary");
  EXPECT_EQ(examples[0].wrong, " John");
  EXPECT_EQ(examples[0].base_score, 4.5);
  EXPECT_EQ(examples[0].defended_score, -1);
  EXPECT_TRUE(examples[0].is_valid);
  EXPECT_EQ(examples[0].split, "train");
  EXPECT_EQ(examples[0].extra.at("template"), "BABA");
  EXPECT_EQ(examples[1].ids, (std::vector<int64_t>{5, 6}));
  EXPECT_TRUE(std::isnan(examples[1].defended_score));
  const std::vector<StoredResult> results = store.results("none");
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[2].prompt, 2);
  EXPECT_TRUE(results[2].recovered);
  EXPECT_FALSE(results[1].recovered);
  EXPECT_EQ(results[2].score, 1);
  EXPECT_TRUE(std::isnan(results[2].recheck_score));
  EXPECT_EQ(results[2].steps, 7);
  EXPECT_EQ(results[2].seconds, 0.25);
  EXPECT_EQ(results[2].termination, "converged");
  EXPECT_EQ(results[2].figures.at("drift_pre_rel"), 0.125);
  ASSERT_EQ(store.traces().size(), 4u);
  EXPECT_EQ(store.traces()[3].row, "none");
  EXPECT_EQ(store.traces()[3].norm, 3);
  EXPECT_EQ(store.artefact("delta/none/0"), std::string("a\0b", 3));
  EXPECT_EQ(store.artefact("absent"), std::nullopt);
}

TEST_F(StoreTest, RowsComeInTheOrderOfTheirFirstBatch) {
  Store store = Store::create(path_);
  store.put_batch(batch_of("zeta", 0));
  store.put_batch(batch_of("alpha", 0));
  store.put_batch(batch_of("zeta", 1));
  const std::vector<StoredResult> results = store.results();
  ASSERT_EQ(results.size(), 12u);
  EXPECT_EQ(results[7].row, "zeta");
  EXPECT_EQ(results[7].prompt, 7);
  EXPECT_EQ(results[8].row, "alpha");
}

TEST_F(StoreTest, VariantsOfOneExampleStandSideBySide) {
  Store store = Store::create(path_);
  FinishedBatch draws{.row = "random", .batch = 0};
  for (int draw = 0; draw < 12; ++draw) {
    draws.results.push_back({.prompt = 3, .variant = concat("draw ", draw)});
  }
  store.put_batch(draws);
  ASSERT_EQ(store.results("random").size(), 12u);
  EXPECT_EQ(store.results("random")[11].variant, "draw 11");
}

TEST_F(StoreTest, KilledInTheMiddleOfABatchItKeepsTheFinishedOnes) {
  const pid_t child = ::fork();
  if (child == 0) {
    Store store = Store::create(path_);
    store.put_batch(batch_of("none", 0));
    store.put_batch(batch_of("none", 1));
    const FinishedBatch third = batch_of("none", 2, 100'000);
    // Abrupt death after 20 ms of computing, while the inserts of the third batch need > 200 ms.
    const itimerval soon = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 20'000}};
    ::setitimer(ITIMER_VIRTUAL, &soon, nullptr);
    store.put_batch(third);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  Store store = Store::open(path_);
  EXPECT_TRUE(store.is_done("none", 0));
  EXPECT_TRUE(store.is_done("none", 1));
  EXPECT_FALSE(store.is_done("none", 2));
  EXPECT_EQ(store.results().size(), 8u);
  EXPECT_EQ(store.traces().size(), 8u);
  store.put_batch(batch_of("none", 2));
  EXPECT_EQ(store.results().size(), 12u);
}

TEST_F(StoreTest, AFullDiskIsOneLineAndKeepsTheFinishedBatches) {
  Store store = Store::create(path_, {.max_pages = 40});
  int64_t finished = 0;
  const std::string message = message_of_any_error([&] {
    for (;; ++finished) store.put_batch(batch_of("none", finished, 50));
  });
  EXPECT_NE(message.find("disk full; what was finished is stored"), std::string::npos) << message;
  ASSERT_GT(finished, 0);
  EXPECT_TRUE(store.is_done("none", finished - 1));
  EXPECT_FALSE(store.is_done("none", finished));
  EXPECT_EQ(store.results().size(), static_cast<size_t>(50 * finished));
  EXPECT_EQ(Store::open_read_only(path_).results().size(), static_cast<size_t>(50 * finished));
}

TEST_F(StoreTest, AReadOnlyFolderCanBeReadAndRefusesWriting) {
  Store::create(path_).put_batch(batch_of("none", 0));
  const fs::perms read = fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read;
  const fs::perms enter = fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec;
  fs::permissions(path_, read);
  fs::permissions(folder_, read | enter);
  const pid_t child = ::fork();
  if (child == 0) {
    // Root writes anywhere: go on as nobody.
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(9);
    const std::string message =
        message_of_any_error([&] { EXPECT_EQ(Store::open_read_only(path_).results().size(), 4u); });
    EXPECT_EQ(message, "");
    if (HasFailure()) ::_exit(1);
    if (message_of_any_error([&] { Store::open(path_).put_batch(batch_of("none", 1)); }) == "")
      ::_exit(2);
    if (message_of_any_error([&] { Store::create(folder_ / "other.sqlite"); }) == "") ::_exit(3);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(StoreTest, RefusesWhatIsNotAStore) {
  write_file_atomically(path_, std::string(5000, 'g'));
  EXPECT_THROW(Store::open(path_), DataError);
  EXPECT_THROW(Store::open_read_only(path_), DataError);
  EXPECT_THROW(Store::create(path_), IoError);
  write_file_atomically(path_, "");
  EXPECT_THROW(Store::open_read_only(path_), DataError);
  EXPECT_THROW(Store::open(folder_ / "absent.sqlite"), IoError);
}

TEST_F(StoreTest, RefusesAnotherSchemaVersionByNumber) {
  Store::create(path_);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(63);  // low byte of the user version in SQLite's header
  file.put(9);
  file.close();
  EXPECT_NE(
      message_of_any_error([&] { Store::open(path_); }).find("got store version 9, expected 1"),
      std::string::npos);
}

TEST_F(StoreTest, DamagedJsonIsADataError) {
  {
    Store store = Store::create(path_);
    store.put_examples({{.prompt = 0, .id = "a", .extra = {{"marker", 1}}}});
  }
  std::string bytes = read_text_file(path_);
  const size_t at = bytes.find(R"({"marker":1})");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '[';
  write_file_atomically(path_, bytes);
  EXPECT_THROW(Store::open(path_).examples(), DataError);
}

}  // namespace
}  // namespace rebound
