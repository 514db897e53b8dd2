#include "rebound/audit/answer_spec.h"

#include <gtest/gtest.h>

#include <algorithm>

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

TEST(AnswerSpecTest, AttributionIsOnUnlessTurnedOff) {
  EXPECT_TRUE(read_answer_spec(Json::object(), "spec").attribution.is_on);
  EXPECT_FALSE(read_answer_spec({{"attribution", false}}, "spec").attribution.is_on);
  const AnswerAuditSpec spec = read_answer_spec({{"attribution", {{"saes", {"a", "b"}}, {"top_k", 5}}}}, "spec");
  EXPECT_EQ(spec.attribution.saes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(spec.attribution.top_k, 5);
  EXPECT_EQ(to_json(read_answer_spec(to_json(spec), "spec")), to_json(spec));
  EXPECT_NE(config_error({{"attribution", {{"top_k", 0}}}}).find("attribution.top_k"), std::string::npos);
  EXPECT_NE(config_error({{"attribution", {{"sae", "a"}}}}).find("attribution"), std::string::npos);
}

TEST(AnswerSpecTest, ProcessedWeightsAreAskedForAndWrittenBack) {
  AnswerAuditSpec spec = read_answer_spec({{"behaviour", {{"kind", "refusal-benign"}}}}, "spec");
  EXPECT_FALSE(spec.has_transformer_lens_processing);
  EXPECT_FALSE(to_json(spec).contains("transformer_lens_processing"));
  spec.has_transformer_lens_processing = true;
  EXPECT_TRUE(read_answer_spec(to_json(spec), "spec").has_transformer_lens_processing);
}

TEST(AnswerSpecTest, StrengthsFollowTheKindOfDefence) {
  EXPECT_EQ(read_answer_spec({{"defence", {{"kind", "directions"}}}}, "spec").defence.strengths.front(), 0.15);
  EXPECT_EQ(read_answer_spec(Json::object(), "spec").defence.strengths.front(), 0.3);
  const Json given = {{"defence", {{"kind", "directions"}, {"strengths", {0.7}}}}};
  EXPECT_EQ(read_answer_spec(given, "spec").defence.strengths, std::vector<double>{0.7});
}

TEST(AnswerSpecTest, FeatureCountsNeedFeatures) {
  EXPECT_EQ(read_answer_spec({{"feature_counts", {1, 5}}}, "spec").feature_counts, (std::vector<int64_t>{1, 5}));
  const Json directions = {{"defence", {{"kind", "directions"}}}, {"feature_counts", {1, 5}}};
  EXPECT_NE(config_error(directions).find("feature_counts"), std::string::npos);
  EXPECT_NE(config_error({{"feature_counts", {0, 5}}}).find("feature_counts: got 0"), std::string::npos);
  for (const char* kind : {"refusal", "refusal-benign"}) {
    EXPECT_NO_THROW(default_answer_spec(kind, Preset::kFull).validate());
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

TEST(AnswerSpecTest, RowsAtTheInputAreReadWithTheirOwnKeysAndDefaults) {
  const AnswerAuditSpec spec =
      read_answer_spec({{"rows",
                         {{{"constraint", "soft_suffix"}, {"obfuscation", 0.5}, {"prompts", 8}},
                          {{"constraint", "soft_suffix"}, {"obfuscation", 2}, {"behaviour_weight", 3}},
                          {{"constraint", "gcg"}, {"search_width", 512}, {"steps", 250}}}}},
                       "spec");
  EXPECT_EQ(spec.rows[0].name(), "soft_suffix/answer/per_prompt@obfuscation=0.5");
  EXPECT_EQ(spec.rows[1].name(), "soft_suffix/answer/per_prompt@obfuscation=2,behaviour=3");
  EXPECT_EQ(spec.rows[2].name(), "gcg/answer/per_prompt@width=512,steps=250");
  EXPECT_EQ(to_json(spec.rows[0]),
            Json({{"constraint", "soft_suffix"},
                  {"objective", "answer"},
                  {"steps", 120},
                  {"lr", 0.01},
                  {"suffix_tokens", 16},
                  {"prompts", 8},
                  {"obfuscation", 0.5},
                  {"behaviour_weight", 1.0}}));
  EXPECT_EQ(spec.rows[2].suffix.top_k, 256);
  EXPECT_EQ(to_json(read_answer_spec(to_json(spec), "spec")), to_json(spec));
}

TEST(AnswerSpecTest, PresetsSweepThreeWeightsAndTryAHardSuffix) {
  for (const Preset preset : {Preset::kQuick, Preset::kFull}) {
    const AnswerAuditSpec spec = default_answer_spec("refusal", preset);
    const auto is_soft = [](const AnswerRowSpec& row) { return row.is_soft_suffix(); };
    EXPECT_GE(std::count_if(spec.rows.begin(), spec.rows.end(), is_soft), 3);
    EXPECT_TRUE(spec.rows.back().is_gcg());
    EXPECT_FALSE(spec.headline().is_at_input());
  }
}

TEST(AnswerSpecTest, ARowAtTheInputIsTheHeadlineOnlyWhereThereIsNoOther) {
  AnswerAuditSpec spec = default_answer_spec("refusal", Preset::kQuick);
  spec.rows = {{"none"}, AnswerRowSpec::of("gcg")};
  EXPECT_EQ(spec.headline().constraint, "none");
  spec.rows = {AnswerRowSpec::of("gcg"), AnswerRowSpec::of("soft_suffix")};
  EXPECT_EQ(spec.headline().constraint, "soft_suffix");
}

TEST(AnswerSpecTest, WrongKeysAndValuesAreConfigErrorsThatNameThem) {
  const std::vector<std::pair<Json, const char*>> bad = {
      {{{"behavior", Json::object()}}, "behavior"},
      {{{"behaviour", {{"kind", "rudeness"}}}}, "rudeness"},
      {{{"defence", {{"kind", "prayer"}}}}, "directions, features or edits"},
      {{{"defence", {{"kind", "directions"}, {"layers", Json::array()}}}}, "defence.layers"},
      {{{"defence", {{"kind", "features"}, {"saes", Json::array()}}}}, "defence.saes"},
      {{{"defence", {{"kind", "edits"}}}}, "defence.edits"},
      {{{"defence", {{"strength", "high"}}}}, "strength"},
      {{{"rows", {{{"constraint", "jacobean"}}}}}, "jacobean"},
      {{{"rows", {{{"budget", -1}}}}}, "budget -1"},
      {{{"rows", {Json::object(), Json::object()}}}, "twice"},
      {{{"rows", {{{"objective", "logit_diff"}}}}}, "logit_diff"},
      {{{"rows", {{{"constraint", "jacobean"}}}}}, "soft_suffix, gcg"},
      {{{"rows", {{{"constraint", "gcg"}, {"budget", 40}}}}}, "budget"},
      {{{"rows", {{{"constraint", "gcg"}, {"obfuscation", 1}}}}}, "obfuscation"},
      {{{"rows", {{{"constraint", "soft_suffix"}, {"top_k", 1}}}}}, "top_k"},
      {{{"rows", {{{"constraint", "none"}, {"prompts", 8}}}}}, "prompts"},
      {{{"rows", {{{"constraint", "gcg"}, {"objective", "minimal_budget"}}}}}, "minimal_budget for gcg"},
      {{{"rows", {{{"constraint", "gcg"}, {"prompts", -1}}}}}, "prompts -1"},
      {{{"rows", {{{"constraint", "gcg"}, {"suffix_tokens", 0}}}}}, "suffix_tokens 0"},
      {{{"rows", {{{"constraint", "gcg"}, {"search_width", 0}}}}}, "search_width 0"},
      {{{"rows", {{{"constraint", "soft_suffix"}, {"obfuscation", -1}}}}}, "obfuscation -1"},
      {{{"rows", {{{"constraint", "soft_suffix"}, {"obfuscation", 0}, {"behaviour_weight", 0}}}}},
       "one above"},
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
