#include "rebound/behaviour/facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <set>

#include "rebound/base/file.h"
#include "rebound/model/margin.h"
#include "support/failures.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

class FactsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / concat("rebound_facts_", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path file(const char* name, const std::string& text) const {
    write_file_atomically(folder_ / name, text);
    return folder_ / name;
  }

 private:
  fs::path folder_;
};

std::string line(const std::string& id,
                 const std::string& relation,
                 const std::string& subject,
                 const std::string& answer) {
  return Json{{"id", id},
              {"relation", relation},
              {"subject", subject},
              {"prompt", "The " + relation + " of " + subject + " is"},
              {"answer", answer}}
             .dump() +
         "\n";
}

Fact fact(const std::string& subject, const std::string& answer) {
  return {subject, "capital", subject, "", answer};
}

TEST_F(FactsTest, DamagedFilesAreDataErrorsThatNameTheLine) {
  const std::string good = line("a", "capital", "Peru", "Lima");
  const std::pair<std::string, const char*> cases[] = {
      {"", "no facts"},
      {good + good, ":2: id \"a\" is used twice"},
      {R"({"id": "a", "relation": "r", "subject": "s", "prompt": "p"})", ":1: missing key \"answer\""},
      {R"({"id": "a", "relation": "r", "subject": "s", "prompt": "  ", "answer": "x"})",
       "prompt is empty"},
      {R"({"id": "a", "relation": "r", "subject": "s", "prompt": "p", "answer": "x", "odd": 1})",
       "odd"},
      {good + "{", ":2"}};
  for (const auto& [text, part] : cases) {
    const std::string message = message_of<DataError>([&] { read_facts(file("f.jsonl", text)); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
}

TEST_F(FactsTest, SubjectsThatOverlapAndSharedAnswersAreOneCluster) {
  const auto clusters = near_duplicate_clusters({fact("Guinea", "Conakry"),
                                                 fact("Peru", "Lima"),
                                                 fact("Equatorial Guinea", "Malabo"),
                                                 fact("Lesser Peru", "X"),
                                                 fact("Nowhere", "malabo"),
                                                 fact("Papua New Guinea", "Port Moresby")});
  EXPECT_EQ(clusters, (std::vector<int64_t>{0, 1, 0, 1, 0, 2}));  // 1 word of 3 is no half
}

TEST_F(FactsTest, FoldsKeepClustersWholeAndAreEven) {
  std::vector<int64_t> clusters;
  for (int64_t i = 0; i < 40; ++i) clusters.push_back(i / 2);
  const auto folds = assign_folds(clusters, 5, 3);
  std::map<int64_t, int64_t> sizes;
  for (size_t i = 0; i < folds.size(); ++i) {
    ++sizes[folds[i]];
    EXPECT_EQ(folds[i], folds[i / 2 * 2]);
  }
  for (int64_t fold = 0; fold < 5; ++fold) EXPECT_EQ(sizes[fold], 8);
  EXPECT_EQ(folds, assign_folds(clusters, 5, 3));
  EXPECT_NE(folds, assign_folds(clusters, 5, 4));
}

TEST_F(FactsTest, WhatCannotBeScoredIsLeftOutAndCounted) {
  const Tokenizer tokenizer = tiny_tokenizer({" Lima", " San", " Rome", " Oslo", " Bern"});
  const fs::path forget =
      file("forget.jsonl",
           line("1", "capital", "Peru", "Lima") +
               line("2", "capital", "peru!", "Rome") +  // the same subject
               line("3", "capital", "Costa Rica", "San Jose") +
               line("4", "capital", "El Salvador", "San Salvador") +
               line("5", "capital", "Italy", "Rome") + line("6", "capital", "Norway", "Oslo"));
  const fs::path retain = file(
      "retain.jsonl", line("7", "capital", "Swiss", "Bern") + line("8", "anthem", "Peru", "Bern"));
  const FactSet set = make_facts({.forget = forget, .retain = retain, .folds = 3}, tokenizer);
  EXPECT_EQ(set.left_out.duplicates, 1);
  EXPECT_EQ(set.left_out.shared_token, 2);  // " San" begins two answers
  EXPECT_EQ(set.left_out.in_forget, 1);
  ASSERT_EQ(set.forget.size(), 3u);
  ASSERT_EQ(set.retain.size(), 1u);
  EXPECT_EQ(set.retain[0].id, "8");
  EXPECT_EQ(set.answer_ids.size(), 3u);
  std::set<int64_t> folds;
  for (const Prompt& prompt : set.forget) {
    EXPECT_EQ(prompt.wrong_id, kBestOther);
    EXPECT_EQ(prompt.ids, tokenizer.encode(prompt.text));
    folds.insert(prompt.fold);
  }
  EXPECT_EQ(folds, (std::set<int64_t>{0, 1, 2}));
  EXPECT_THROW(make_facts({.forget = forget, .retain = retain, .folds = 4}, tokenizer), DataError);
  EXPECT_THROW(make_facts({.forget = forget, .retain = retain, .folds = 1}, tokenizer),
               ConfigError);
}

TEST_F(FactsTest, AnAnswerOfSeveralTokensIsScoredByItsFirst) {
  const Tokenizer tokenizer = tiny_tokenizer({" Port"});
  const fs::path forget = file(
      "forget.jsonl",
      line("1", "capital", "Haiti", "Port-au-Prince") + line("2", "capital", "Cuba", "Havana"));
  const FactSet set = make_facts({.forget = forget, .retain = forget, .folds = 2}, tokenizer);
  std::set<std::string> answers;
  for (const Prompt& prompt : set.forget) answers.insert(prompt.correct);
  EXPECT_EQ(answers, (std::set<std::string>{" Port", " "}));
  EXPECT_TRUE(set.retain.empty());
}

TEST_F(FactsTest, TheFactsOfTheProjectAreReadAndOfTwoKinds) {
  const auto capitals = read_facts(REBOUND_SOURCE_DIR "/data/facts/capitals.jsonl"),
             relations = read_facts(REBOUND_SOURCE_DIR "/data/facts/relations.jsonl");
  EXPECT_EQ(capitals.size(), 196u);
  EXPECT_EQ(relations.size(), 1160u);
  for (const Fact& one : relations) EXPECT_NE(one.relation, "P36") << one.id;
}

}  // namespace
}  // namespace rebound
