// What a run is of must not change while it goes on.
#include <algorithm>
#include <fstream>

#include "audit/audit_fixture.h"
#include "rebound/audit/answer_flips.h"
#include "rebound/audit/run_folder.h"
#include "rebound/audit/runner.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

using ResumeGuardTest = RunFolderTest;

AuditSpec resumable_spec() {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows[0].steps = 3;
  spec.rows[1].steps = 2;
  spec.batch = 24;
  return spec;
}

// Stops before the part number `parts`.
void begin_run(const fs::path& folder, int parts) {
  EXPECT_THROW(run_audit(resumable_spec(), folder, [&] { return parts-- == 0; }), Error);
}

Json as_it_is(const Json& json) { return json; }

TEST_F(ResumeGuardTest, AnEditedSpecIsNamedAndNothingGoesOn) {
  begin_run(folder(), 2);
  AuditSpec edited = resumable_spec();
  edited.rows[0].steps = 5;
  write_file_atomically(folder() / "spec.json", to_json(edited).dump());
  const std::string message = message_of<DataError>([&] { resume_audit(folder()); });
  EXPECT_NE(message.find("/rows/0/steps: got 5, expected 3"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(folder() / "summary.json"));
  // As it was, it goes on.
  write_file_atomically(folder() / "spec.json", to_json(resumable_spec()).dump());
  EXPECT_EQ(resume_audit(folder()).n_valid, 48);
}

TEST_F(ResumeGuardTest, BatchesAreCutFromTheFlipsThatTheRunBeganWith) {
  begin_run(folder(), 0);
  {
    Store store = Store::open(folder() / "run.sqlite");
    StoredExample first = store.examples().front();
    first.defended_score = 0.5;
    first.is_valid = false;
    store.put_examples({first});
  }
  const AuditSummary summary = resume_audit(folder());
  EXPECT_EQ(summary.n_valid, 47);
  EXPECT_EQ(summary.rows.front().n_valid, 47);
}

TEST_F(ResumeGuardTest, ExamplesOfOtherPromptsAreRefused) {
  begin_run(folder(), 0);
  {
    Store store = Store::open(folder() / "run.sqlite");
    StoredExample first = store.examples().front();
    first.ids.back() += 1;
    store.put_examples({first});
  }
  EXPECT_NE(message_of<DataError>([&] { resume_audit(folder()); }).find("example 0"),
            std::string::npos);
}

TEST_F(ResumeGuardTest, FilesAreComparedByTheirHashes) {
  fs::create_directories(folder());
  Store store = Store::create(folder() / "run.sqlite");
  guard_spec(store, {{"a", 1}}, as_it_is, folder());
  guard_files(store, {{"model", "12ab"}, {"sae", nullptr}}, folder());
  guard_files(store, {{"model", "12ab"}, {"sae", nullptr}}, folder());
  const std::string message = message_of<DataError>([&] {
    guard_files(store, {{"model", "34cd"}, {"sae", nullptr}}, folder());
  });
  EXPECT_NE(message.find("sha256 of /model: got \"34cd\", expected \"12ab\""), std::string::npos)
      << message;
}

TEST_F(ResumeGuardTest, ADefaultThatIsNewIsNoChange) {
  fs::create_directories(folder());
  Store store = Store::create(folder() / "run.sqlite");
  guard_spec(store, {{"a", 1}}, as_it_is, folder());
  const auto with_default = [](const Json& kept) {
    Json filled = kept;
    filled["b"] = 2;
    return filled;
  };
  guard_spec(store, {{"a", 1}, {"b", 2}}, with_default, folder());
  EXPECT_THROW(guard_spec(store, {{"a", 1}, {"b", 3}}, with_default, folder()), DataError);
}

TEST_F(ResumeGuardTest, ARunOfAnOlderVersionGoesOnWithOneLine) {
  fs::create_directories(folder());
  Store store = Store::create(folder() / "run.sqlite");
  store.put_examples({{.prompt = 0, .id = "p"}});
  testing::internal::CaptureStderr();
  guard_spec(store, {{"a", 1}}, as_it_is, folder());
  guard_files(store, {{"model", "12ab"}}, folder());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("older version"), std::string::npos) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_FALSE(store.meta("spec").has_value());
}

TEST_F(ResumeGuardTest, AFolderIsHashedByItsFiles) {
  fs::create_directories(folder());
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder() / name) << text;
  };
  write("a.safetensors", "1");
  write("notes.md", "x");
  const Json before = hashed_file(folder());
  write("notes.md", "y");
  EXPECT_EQ(hashed_file(folder()), before);
  write("a.safetensors", "2");
  EXPECT_NE(hashed_file(folder()), before);
  EXPECT_EQ(hashed_file(folder() / "a.safetensors"), sha256_of_text("2"));
  EXPECT_TRUE(hashed_file(folder() / "absent").is_null());
}

// Three requests: a flip, one that is none, one broken.
AnswerFlips three_flips(const std::string& base) {
  AnswerFlips flips;
  for (int64_t i = 0; i < 3; ++i) {
    StoredExample example{.prompt = i, .id = concat("r", i), .is_valid = i == 0};
    example.extra = {{"flip",
                      i == 0   ? "refused"
                      : i == 1 ? "none"
                               : "broken"},
                     {"base", {{"sha256", base}}},
                     {"defended", {{"sha256", "dd"}}}};
    flips.examples.push_back(std::move(example));
  }
  flips.refused.push_back({nullptr, 0, {1}, {2}});
  flips.n_broken = 1;
  return flips;
}

TEST_F(ResumeGuardTest, RefusalsAreThoseOfTheBeginning) {
  const std::vector<StoredExample> kept = three_flips("aa").examples;
  AnswerFlips found = three_flips("aa");
  found.refused.push_back({nullptr, 1, {1}, {2}});  // a verdict that came out otherwise
  found.n_broken = 0;
  const AnswerFlips flips = as_stored(found, kept, "run.sqlite");
  ASSERT_EQ(flips.refused.size(), 1u);
  EXPECT_EQ(flips.refused[0].index, 0);
  EXPECT_EQ(flips.n_broken, 1);
  const std::string message =
      message_of<DataError>([&] { as_stored(three_flips("bb"), kept, "run.sqlite"); });
  EXPECT_NE(message.find("base answer to r0"), std::string::npos) << message;
}

}  // namespace
}  // namespace rebound
