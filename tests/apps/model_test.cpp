// rebound model: its JSON contract, on the small model that ships.
#include <gtest/gtest.h>

#include <string>

#include "rebound/base/json.h"
#include "support/program.h"

namespace rebound {
namespace {

const std::string kModel = "--model " REBOUND_SOURCE_DIR "/assets/scaling/books-bytes-100x ";

Outcome model(const std::string& flags) {
  return run_program("model --quiet --threads 1 " + flags);
}

TEST(ModelVerbTest, GenerateGivesIdsAndTheirText) {
  const Outcome outcome =
      model("generate --json --greedy --tokens 12 --text 'It was the ' " + kModel);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.text;
  const Json json = Json::parse(outcome.text);
  EXPECT_EQ(json.at("ids").size(), 12u);
  std::string bytes;  // a token of this model is a byte
  for (const Json& id : json.at("ids")) bytes += static_cast<char>(id.get<int>());
  EXPECT_EQ(json.at("text"), bytes);
  EXPECT_EQ(json.at("prompt_ids").size(), 11u);
}

TEST(ModelVerbTest, GreedyIsTheDefaultUnderItsOtherNames) {
  const std::string plain =
      model("generate --json --max-new-tokens 12 --prompt 'It was the ' " + kModel).text;
  EXPECT_EQ(plain,
            model("generate --json --greedy --tokens 12 --text 'It was the ' " + kModel).text);
}

Json inspected(const std::string& folder) {
  const Outcome outcome = model("inspect --json --model " REBOUND_SOURCE_DIR "/" + folder);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.text;
  return Json::parse(outcome.text);
}

TEST(ModelVerbTest, InspectSaysWhatOfAModelThatSeesImagesIsLeftOut) {
  const Json images = inspected("tests/model/golden/families/gemma3_images");
  EXPECT_EQ(images.at("config").at("model_type"), "gemma3_text");
  EXPECT_EQ(images.at("left_out").at("tensors"), 34);
  EXPECT_GT(images.at("left_out").at("parameters").get<int64_t>(), 1000);
  EXPECT_EQ(images.at("tensors").get<int64_t>(), 6 * 13 + 2);
  EXPECT_TRUE(inspected("assets/scaling/books-bytes-100x").at("left_out").is_null());
}

TEST(ModelVerbTest, InspectSaysHowPositionsAreScaled) {
  const auto scaling = [](const std::string& family) {
    return inspected("tests/model/golden/families/" + family).at("config").at("rope_scaling");
  };
  EXPECT_EQ(scaling("gemma"), "none");
  EXPECT_EQ(scaling("llama_linear"), "linear, factor 4");
  EXPECT_EQ(scaling("qwen2_yarn"), "yarn, factor 4 over 16 positions, attention times 1.13863");
  EXPECT_EQ(scaling("phi3_longrope")
                .get<std::string>()
                .rfind("longrope, its short factors (texts of up to 48 of 64 positions)", 0),
            0u);
}

TEST(ModelVerbTest, GreedyAtATemperatureIsAContradiction) {
  const Outcome outcome = model("generate --greedy --temperature 1 --text a " + kModel + " 2>&1");
  EXPECT_EQ(outcome.exit_code, 2) << outcome.text;
}

}  // namespace
}  // namespace rebound
