#include "rebound/behaviour/ioi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

std::filesystem::path data_dir() {
  return std::filesystem::path(REBOUND_SOURCE_DIR) / "data" / "ioi";
}

std::vector<std::string> all_names() {
  const Json json = read_json_file(data_dir() / "names.json");
  std::vector<std::string> names;
  for (const Json& name : json) names.push_back(" " + name.get<std::string>());
  return names;
}

const Tokenizer& whole_name_tokenizer() {
  static const Tokenizer tokenizer = tiny_tokenizer(all_names());
  return tokenizer;
}

PromptSet make(IoiOptions options, const Tokenizer& tokenizer = whole_name_tokenizer()) {
  options.data_dir = data_dir();
  return make_ioi(options, tokenizer);
}

std::pair<int64_t, int64_t> pair_of(const Prompt& prompt) {
  return std::minmax(prompt.correct_id, prompt.wrong_id);
}

size_t count_of(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST(IoiTest, SubjectIsThereTwiceAndComesFirst) {
  for (const Prompt& prompt : make({}).test) {
    const auto& ids = prompt.ids;
    EXPECT_EQ(std::count(ids.begin(), ids.end(), prompt.wrong_id), 2) << prompt.text;
    EXPECT_EQ(std::count(ids.begin(), ids.end(), prompt.correct_id), 1) << prompt.text;
    EXPECT_LT(std::find(ids.begin(), ids.end(), prompt.wrong_id),
              std::find(ids.begin(), ids.end(), prompt.correct_id));
    EXPECT_TRUE(prompt.text.ends_with(" to")) << prompt.text;
    EXPECT_EQ(prompt.text.find('{'), std::string::npos);
    EXPECT_EQ(ids, whole_name_tokenizer().encode(prompt.text));
    EXPECT_EQ(prompt.correct_id, whole_name_tokenizer().single_token(prompt.correct));
  }
}

TEST(IoiTest, AbbaStartsWithTheIndirectObject) {
  for (const Prompt& prompt : make({.templates = "abba"}).test) {
    EXPECT_LT(prompt.text.find(prompt.correct), prompt.text.find(prompt.wrong)) << prompt.text;
    EXPECT_GE(count_of(prompt.text, prompt.wrong), 2U);
  }
}

TEST(IoiTest, TrainAndTestShareNoPairAndNoPrompt) {
  for (const uint64_t seed : {0U, 1U, 2U}) {
    const PromptSet prompts = make({.n_train = 700, .n_test = 700, .seed = seed});
    ASSERT_EQ(prompts.train.size(), 700U);
    ASSERT_EQ(prompts.test.size(), 700U);
    std::set<std::pair<int64_t, int64_t>> pairs;
    std::set<std::string> texts, ids;
    for (const auto* split : {&prompts.train, &prompts.test}) {
      for (const Prompt& prompt : *split) {
        EXPECT_TRUE(pairs.insert(pair_of(prompt)).second);
        EXPECT_TRUE(texts.insert(prompt.text).second);
        EXPECT_TRUE(ids.insert(prompt.id).second);
      }
    }
  }
}

TEST(IoiTest, DependsOnTheSeedAlone) {
  const auto texts = [](const std::vector<Prompt>& prompts) {
    std::vector<std::string> all;
    for (const Prompt& prompt : prompts) all.push_back(prompt.text);
    return all;
  };
  const PromptSet once = make({.seed = 5});
  const PromptSet again = make({.seed = 5});
  EXPECT_EQ(texts(once.train), texts(again.train));
  EXPECT_EQ(texts(once.test), texts(again.test));
  EXPECT_NE(texts(once.test), texts(make({.seed = 6}).test));
  // More training prompts leave the test prompts alone.
  EXPECT_EQ(texts(once.test), texts(make({.n_train = 200, .seed = 5}).test));
}

TEST(IoiTest, TemplatesComeInTurnAndTwinsShareACluster) {
  std::map<int64_t, int64_t> counts;
  for (const Prompt& prompt : make({.n_test = 60}).test) ++counts[prompt.cluster];
  EXPECT_EQ(counts.size(), 15U);
  for (const auto& [cluster, count] : counts) EXPECT_EQ(count, 4) << cluster;

  std::map<int64_t, std::set<std::string>> starts;
  for (const Prompt& prompt : make({.n_test = 60, .templates = "both"}).test) {
    starts[prompt.cluster].insert(prompt.text.substr(0, 4));
  }
  EXPECT_EQ(starts.size(), 15U);
  for (const auto& [cluster, begins] : starts) EXPECT_EQ(begins.size(), 1U) << cluster;
}

TEST(IoiTest, NamesOfSeveralTokensAreLeftOutAndSaid) {
  std::vector<std::string> names = all_names();
  names.erase(names.begin(), names.begin() + 3);  // Alice, Anna, Anne
  const Tokenizer tokenizer = tiny_tokenizer(names);
  ::testing::internal::CaptureStderr();
  const PromptSet prompts = make({.n_train = 300, .n_test = 300}, tokenizer);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("3 of 100 names"), std::string::npos) << said;
  EXPECT_NE(said.find("Alice, Anna, Anne"), std::string::npos) << said;
  EXPECT_EQ(prompts.unrelated_ids.size(), 97U);
  for (const Prompt& prompt : prompts.test) {
    EXPECT_NE(prompt.correct, " Alice");
    EXPECT_NE(prompt.wrong, " Alice");
  }
}

TEST(IoiTest, UnrelatedIdsAreTheNames) {
  const PromptSet prompts = make({});
  const std::set<int64_t> unrelated(prompts.unrelated_ids.begin(), prompts.unrelated_ids.end());
  EXPECT_EQ(unrelated.size(), 100U);
  for (const Prompt& prompt : prompts.test) {
    EXPECT_TRUE(unrelated.count(prompt.correct_id) && unrelated.count(prompt.wrong_id));
  }
}

TEST(IoiTest, TooFewNamesOrABadOptionIsAConfigError) {
  const Tokenizer two_names = tiny_tokenizer({" Mary", " Paul"});
  EXPECT_EQ(make({.n_train = 0, .n_test = 1}, two_names).test.size(), 1U);
  EXPECT_THROW(make({.n_train = 1, .n_test = 1}, two_names), ConfigError);
  EXPECT_THROW(make({}, tiny_tokenizer({})), ConfigError);
  EXPECT_THROW(make({.n_test = 4951}), ConfigError);
  EXPECT_THROW(make({.n_train = -1}), ConfigError);
  EXPECT_THROW(make({.n_test = 0}), ConfigError);
  EXPECT_THROW(make({.templates = "bab"}), ConfigError);
}

}  // namespace
}  // namespace rebound
