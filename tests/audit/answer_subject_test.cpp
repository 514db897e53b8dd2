#include "rebound/audit/answer_subject.h"

#include <fstream>

#include "audit/audit_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

// Two files of requests, a and b: numbers 0..2 train, 3..7 test; ids in b begin with b.
class ChooseRequestsTest : public RunFolderTest {
 protected:
  void SetUp() override {
    RunFolderTest::SetUp();
    std::filesystem::create_directories(folder());
    for (const std::string set : {"a", "b"}) {
      const std::string file = (folder() / (set + ".jsonl")).string();
      std::ofstream out(file);
      for (int i = 0; i < 8; ++i) {
        out << Json({{"id", concat(set, i)},
                     {"text", concat("Say ", set, i, ".")},
                     {"split", i < 3 ? "train" : "test"},
                     {"cluster", i / 2}})
                   .dump()
            << "\n";
      }
      spec_.requests.push_back(file);
    }
  }

  std::string message_with(std::vector<std::string> ids) {
    spec_.ids = std::move(ids);
    return message_of<DataError>([&] { choose_requests(spec_); });
  }

  AnswerBehaviourSpec spec_{.kind = "refusal", .requests = {}, .n_train = 2, .n_test = 2};
};

std::vector<std::string> ids_of(const ChosenRequests::OfSet& chosen) {
  std::vector<std::string> ids;
  for (const Request& request : chosen.requests) ids.push_back(request.id);
  return ids;
}

using Ids = std::vector<std::string>;

TEST_F(ChooseRequestsTest, WithoutIdsTheFirstOfEachTestSplit) {
  const ChosenRequests chosen = choose_requests(spec_);
  EXPECT_EQ(ids_of(chosen.train), (Ids{"a0", "a1"}));
  ASSERT_EQ(chosen.test.size(), 2u);
  EXPECT_EQ(ids_of(chosen.test[0]), (Ids{"a3", "a4"}));
  EXPECT_EQ(ids_of(chosen.test[1]), (Ids{"b3", "b4"}));
}

TEST_F(ChooseRequestsTest, GivenIdsAreAllTakenInTheirOrder) {
  spec_.ids = {"a7", "b0", "a3", "a5"};  // b's train split chose nothing
  const ChosenRequests chosen = choose_requests(spec_);
  EXPECT_EQ(ids_of(chosen.test[0]), (Ids{"a7", "a3", "a5"}));
  EXPECT_EQ(ids_of(chosen.test[1]), (Ids{"b0"}));
}

TEST_F(ChooseRequestsTest, IdsThatCannotBeMeantAreNamed) {
  EXPECT_NE(message_with({"a3", "nobody"}).find("\"nobody\""), std::string::npos);
  EXPECT_NE(message_with({"a3", "a4", "a3"}).find("\"a3\" twice"), std::string::npos);
  EXPECT_NE(message_with({"a3", "a1"}).find("\"a1\" of the train split"), std::string::npos);
  // Beyond n_train, too: with another n_train it would be one of those.
  EXPECT_NE(message_with({"a2"}).find("train split"), std::string::npos);
}

TEST_F(ChooseRequestsTest, AManifestIsHeldToTheSame) {
  const auto write = [&](const Json& json) {
    const std::string file = (folder() / "ids.json").string();
    std::ofstream(file) << json.dump();
    spec_.manifest = file;
  };
  write({{spec_.requests[0], {"a6", "a5", "a4"}}, {spec_.requests[1], {"b1"}}});
  const ChosenRequests chosen = choose_requests(spec_);
  EXPECT_EQ(ids_of(chosen.test[0]), (Ids{"a6", "a5"}));  // n_test
  EXPECT_EQ(ids_of(chosen.test[1]), (Ids{"b1"}));
  write({{spec_.requests[0], {"a0"}}, {spec_.requests[1], {"b1"}}});
  EXPECT_NE(message_with({}).find("train split"), std::string::npos);
  write({{spec_.requests[0], {"b1"}}, {spec_.requests[1], {"b1"}}});
  EXPECT_NE(message_with({}).find("\"b1\""), std::string::npos);
}

// Both sets number from 0: neither a0 and b0 nor a3 and b3 are near-duplicates.
TEST(ClusterNumbersTest, SetsNumberTheirClustersIndependently) {
  std::vector<PosedRequest> posed;
  for (const auto& [set, cluster] : {std::pair{"a", 0},
                                     std::pair{"a", 0},
                                     std::pair{"b", 0},
                                     std::pair{"a", 3},
                                     std::pair{"b", 3},
                                     std::pair{"b", 0}}) {
    posed.push_back({{.id = "r", .cluster = cluster}, set, {}});
  }
  EXPECT_EQ(cluster_numbers(posed), (std::vector<int64_t>{0, 0, 1, 2, 3, 1}));
}

}  // namespace
}  // namespace rebound
