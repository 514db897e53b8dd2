#include "rebound/behaviour/requests.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

std::vector<Request> read(const std::string& lines) {
  const auto path = fresh_folder("read") / "requests.jsonl";
  write_file_atomically(path, lines);
  return read_requests(path);
}

// What follows the file's name.
std::string complaint(const std::string& lines) {
  const std::string message = message_of<DataError>([&] { read(lines); });
  return message.substr(std::min(message.size(), message.find("requests.jsonl") + 14));
}

TEST(RequestsTest, KeysBecomeFields) {
  const auto requests =
      read(R"({"id": "r1", "text": "Name a river.", "category": "c", "split": "val", "cluster": 4,)"
           R"( "harmful": true})"
           "\n\n"
           R"({"id": "r2", "text": "Name a lake."})");
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].id, "r1");
  EXPECT_EQ(requests[0].text, "Name a river.");
  EXPECT_EQ(requests[0].category, "c");
  EXPECT_EQ(requests[0].split, "val");
  EXPECT_EQ(requests[0].cluster, 4);
  EXPECT_TRUE(requests[0].is_harmful);
  EXPECT_EQ(requests[1].split, "test");
  EXPECT_EQ(requests[1].cluster, -3);  // its line
  EXPECT_FALSE(requests[1].is_harmful);
  EXPECT_EQ(requests_of_split(requests, "val").size(), 1U);
  EXPECT_EQ(requests_of_split(requests, "val")[0].id, "r1");
}

TEST(RequestsTest, BadLinesAreOneClearDataError) {
  const std::string good = R"({"id": "a", "text": "t"})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {good + "\n" + R"({"id": "b", "text": "t", "colour": 1})", ":2: unknown key \"colour\""},
      {good + "\n" + good, ":2: id \"a\" is used twice"},
      {R"({"text": "t"})", ":1: missing key \"id\""},
      {R"({"id": "a"})", ":1: missing key \"text\""},
      {R"({"id": "", "text": "t"})", ":1: id is empty"},
      {R"({"id": "a", "text": " "})", ":1: text is empty"},
      {R"({"id": 7, "text": "t"})", ":1.id: got 7, expected a string"},
      {R"({"id": "a", "text": "t", "split": "dev"})", ":1: split: got \"dev\", expected train"},
      {R"({"id": "a", "text": "t", "cluster": -1})", ":1: cluster must be >= 0"},
      {R"({"id": "a", "text": "t", "cluster": 1.5})", ":1.cluster: got 1.5"},
      {R"({"id": "a", "text": "t", "harmful": "no"})", ":1.harmful: got \"no\", expected true"},
      {R"({"id": "a", "id": "b", "text": "t"})", ":1: key \"id\" stands twice"},
      {"[]", ":1: got array"},
      {"{", ":1: not valid JSON"},
      {"{\"id\": \"\xff\", \"text\": \"t\"}", ":1: not valid JSON"},
      {"\n", ": got no requests"}};
  for (const auto& [lines, expected] : cases) {
    const std::string message = complaint(lines);
    EXPECT_TRUE(message.starts_with(expected)) << lines << "\n got: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

TEST(RequestsTest, MissingFileIsAnIoError) {
  EXPECT_THROW(read_requests("/no/such/file.jsonl"), IoError);
}

TEST(RequestsTest, UnknownSetNamesTheKnownOnes) {
  EXPECT_EQ(message_of<ConfigError>([] { request_set("advbanch"); }),
            "request set: got advbanch, expected one of: advbench, harmbench, harmless, "
            "xstest_safe");
}

class RequestSetTest : public ::testing::TestWithParam<std::string> {
 protected:
  static std::vector<Request> read_set(const std::string& name) {
    return read_requests(REBOUND_SOURCE_DIR "/data/refusal/" + name + ".jsonl");
  }
};

TEST_P(RequestSetTest, ClustersStayOnOneSideOfTheSplit) {
  std::map<int64_t, std::string> split_of;
  int straddling = 0;
  for (const Request& request : read_set(GetParam())) {
    const auto [found, is_new] = split_of.emplace(request.cluster, request.split);
    straddling += !is_new && found->second != request.split ? 1 : 0;
  }
  EXPECT_EQ(straddling, GetParam() == "harmbench" ? 4 : 0);  // HarmBench as published
}

TEST_P(RequestSetTest, HarmIsPartOfTheData) {
  const bool is_harmful = GetParam() == "advbench" || GetParam() == "harmbench";
  for (const Request& request : read_set(GetParam())) {
    EXPECT_EQ(request.is_harmful, is_harmful) << request.id;
    EXPECT_FALSE(request.category.empty()) << request.id;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, RequestSetTest, ::testing::ValuesIn(request_set_names()));

TEST(RequestSetsTest, SizesAreThoseOfTheSources) {
  const auto size_of = [](const std::string& name, const std::string& split) {
    return requests_of_split(read_requests(REBOUND_SOURCE_DIR "/data/refusal/" + name + ".jsonl"),
                             split)
        .size();
  };
  EXPECT_EQ(size_of("advbench", "train") + size_of("advbench", "test"), 514U);
  EXPECT_EQ(size_of("harmbench", "val"), 41U);
  EXPECT_EQ(size_of("harmbench", "test"), 159U);
  EXPECT_EQ(size_of("harmless", "train"), 300U);
  EXPECT_EQ(size_of("harmless", "test"), 200U);
  EXPECT_EQ(size_of("xstest_safe", "train") + size_of("xstest_safe", "test"), 250U);
}

}  // namespace
}  // namespace rebound
