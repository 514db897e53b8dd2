#include "rebound/audit/answer_spec.h"

#include <gtest/gtest.h>

#include "support/failures.h"

namespace rebound {
namespace {

std::string config_error(const Json& json) {
  return message_of<ConfigError>([&] { read_answer_spec(json, "spec"); });
}

TEST(AnswerSpecTest, ASpecReadBackIsTheSame) {
  for (const char* kind : {"refusal", "refusal-benign"}) {
    for (const Preset preset : {Preset::kQuick, Preset::kFull}) {
      const AnswerAuditSpec spec = default_answer_spec(kind, preset);
      EXPECT_EQ(to_json(read_answer_spec(to_json(spec), "spec")), to_json(spec));
    }
  }
}

TEST(AnswerSpecTest, BenignAuditsReadNoHarmfulSet) {
  EXPECT_EQ(default_answer_spec("refusal-benign", Preset::kFull).behaviour.requests, std::vector<std::string>{"harmless"});
}

TEST(AnswerSpecTest, TheHeadlineIsTheFirstForwardProjection) {
  AnswerAuditSpec spec = default_answer_spec("refusal", Preset::kQuick);
  EXPECT_EQ(spec.headline().constraint, "forward_projection");
  spec.rows = {{"penalty"}, {"none"}, {"forward_projection", RowKind::kMinimalBudget}};
  EXPECT_EQ(spec.headline().constraint, "none");
  EXPECT_EQ(spec.rows[0].name(), "penalty/answer/per_prompt@40");
}

TEST(AnswerSpecTest, WrongKeysAndValuesAreConfigErrorsThatNameThem) {
  const std::vector<std::pair<Json, const char*>> bad = {
      {{{"behavior", Json::object()}}, "behavior"},
      {{{"behaviour", {{"kind", "rudeness"}}}}, "rudeness"},
      {{{"defence", {{"kind", "prayer"}}}}, "directions, features or edits"},
      {{{"defence", {{"layers", Json::array()}}}}, "defence.layers"},
      {{{"defence", {{"kind", "features"}}}}, "defence.saes"},
      {{{"defence", {{"kind", "edits"}}}}, "defence.edits"},
      {{{"defence", {{"strength", "high"}}}}, "strength"},
      {{{"rows", {{{"constraint", "jacobean"}}}}}, "jacobean"},
      {{{"rows", {{{"budget", -1}}}}}, "budget -1"},
      {{{"rows", {Json::object(), Json::object()}}}, "twice"},
      {{{"rows", {{{"objective", "logit_diff"}}}}}, "logit_diff"},
      {{{"target_tokens", 80}}, "target_tokens"},
      {{{"seed", -4}}, "seed"},
  };
  for (const auto& [json, part] : bad) {
    const std::string message = config_error(json);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_THROW(parse_preset("medium"), ConfigError);
}

}  // namespace
}  // namespace rebound
