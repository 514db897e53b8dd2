// rebound model: its JSON contract, on the small model that ships.
#include <gtest/gtest.h>

#include <string>

#include "rebound/base/json.h"
#include "support/program.h"

namespace rebound {
namespace {

const std::string kModel = "--model " REBOUND_SOURCE_DIR "/assets/scaling/books-bytes-100x ";

Outcome model(const std::string& flags) { return run_program("model --quiet --threads 1 " + flags); }

TEST(ModelVerbTest, GenerateGivesIdsAndTheirText) {
  const Outcome outcome = model("generate --json --greedy --tokens 12 --text 'It was the ' " + kModel);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.text;
  const Json json = Json::parse(outcome.text);
  EXPECT_EQ(json.at("ids").size(), 12u);
  std::string bytes;  // a token of this model is a byte
  for (const Json& id : json.at("ids")) bytes += static_cast<char>(id.get<int>());
  EXPECT_EQ(json.at("text"), bytes);
  EXPECT_EQ(json.at("prompt_ids").size(), 11u);
}

TEST(ModelVerbTest, GreedyIsTheDefaultUnderItsOtherNames) {
  const std::string plain = model("generate --json --max-new-tokens 12 --prompt 'It was the ' " + kModel).text;
  EXPECT_EQ(plain, model("generate --json --greedy --tokens 12 --text 'It was the ' " + kModel).text);
}

TEST(ModelVerbTest, GreedyAtATemperatureIsAContradiction) {
  const Outcome outcome = model("generate --greedy --temperature 1 --text a " + kModel + " 2>&1");
  EXPECT_EQ(outcome.exit_code, 2) << outcome.text;
}

}  // namespace
}  // namespace rebound
