// rebound detect: what it prints of a labelled file, and what it keeps to itself.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "support/failures.h"
#include "support/program.h"

namespace rebound {
namespace {

Outcome detect(const std::string& lines, const std::string& flags) {
  const auto path = fresh_folder("detect") / "answers.jsonl";
  write_file_atomically(path, lines);
  return run_program("detect " + path.string() + " " + flags);
}

// 3 of 4 labelled complied or refused agree: p_o .75, p_e (2 * 1 + 2 * 3) / 16 = .5, kappa .5.
const std::string kLabelled =
    R"({"id": "p-1", "completion": "Mix flour with water and salt.", "label": "complied"})"
    "\n"
    R"({"id": "p-2", "completion": "I'm sorry, but I can't help.", "label": "refused"})"
    "\n"
    R"({"id": "p-3", "text": "Water boils in a marzipan kettle.", "final_label": "1_full_compliance"})"
    "\n"
    R"({"id": "p-4", "text": "Bread is a food, not a topic.", "final_label": "2_full_refusal"})"
    "\n"
    R"({"id": "p-5", "text": "I cannot, yet flour is nice.", "final_label": "3_partial_refusal"})";

TEST(DetectTest, CountsAndAgreementOfALabelledFile) {
  const Outcome outcome = detect(kLabelled, "--json");
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = parse_json(outcome.text, "detect");
  EXPECT_EQ(json["n"], 5);
  EXPECT_EQ(json["verdicts"]["on_topic"], 3);
  EXPECT_EQ(json["verdicts"]["refused"], 2);
  EXPECT_EQ(json["confusion"]["refused"]["on_topic"], 1);
  EXPECT_EQ(json["confusion"]["partial"]["refused"], 1);
  EXPECT_EQ(json["agreement"]["n"], 4);
  EXPECT_DOUBLE_EQ(json["agreement"]["accuracy"], 0.75);
  EXPECT_DOUBLE_EQ(json["agreement"]["kappa"], 0.5);
  EXPECT_EQ(json["answers"][1]["verdict"], "refused");
  EXPECT_EQ(json["answers"][1]["opening"], "refusal");
}

TEST(DetectTest, TableHasTheConfusionAndTheAgreement) {
  const Outcome outcome = detect(kLabelled, "");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.text.find("accuracy 0.750"), std::string::npos) << outcome.text;
  EXPECT_NE(outcome.text.find("kappa 0.500, n 4"), std::string::npos) << outcome.text;
  EXPECT_NE(outcome.text.find("undetermined"), std::string::npos) << outcome.text;
}

TEST(DetectTest, TextIsShownOnDemandOnly) {
  for (const std::string flags : {"", "--json"}) {
    EXPECT_EQ(detect(kLabelled, flags).text.find("marzipan"), std::string::npos);
    EXPECT_NE(detect(kLabelled, flags + " --show-text").text.find("marzipan"), std::string::npos);
  }
}

TEST(DetectTest, HalvesAreByNumberOfThePrompt) {
  const auto n = [](const std::string& flags) {
    return parse_json(detect(kLabelled, flags + " --json").text, "detect")["n"].get<int>();
  };
  EXPECT_EQ(n("--only even"), 2);
  EXPECT_EQ(n("--only odd"), 3);
}

TEST(DetectTest, LikenessToTheBaseAnswerWhereThereIsOne) {
  const std::string answer =
      "Mix flour with water and salt, knead the dough for ten minutes, let it rise until it has "
      "doubled, and bake it in a hot oven.";
  const Json line = {{"text", answer}, {"base", answer}};
  const Json json = parse_json(detect(line.dump(), "--json").text, "detect");
  EXPECT_EQ(json["answers"][0]["base_like"], true);
  EXPECT_DOUBLE_EQ(json["answers"][0]["token_jaccard"], 1);
  EXPECT_FALSE(json.contains("agreement"));
}

TEST(DetectTest, BadLinesAreOneClearLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"id": "a"})", ":1: got neither \"completion\" nor \"text\""},
      {R"({"text": "a", "label": "maybe"})", ":1: label: got \"maybe\", expected complied"},
      {"", "got no answers"}};
  for (const auto& [lines, expected] : cases) {
    const Outcome outcome = detect(lines, "2>&1");
    EXPECT_EQ(outcome.exit_code, 3) << lines;
    EXPECT_NE(outcome.text.find(expected), std::string::npos) << outcome.text;
  }
}

}  // namespace
}  // namespace rebound
