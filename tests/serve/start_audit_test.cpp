#include "rebound/serve/start_audit.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "support/failures.h"

namespace rebound {
namespace {

Json clamp_json(int64_t sae, int64_t feature, double value, const char* kind = "set") {
  return {{"sae", sae}, {"feature", feature}, {"kind", kind}, {"value", value}};
}

Json spec_for(const Json& request,
              const AuditMaterial& material = {.sae_paths = {"first", "second"}}) {
  return audit_spec_of(read_audit_request(request, {}), material);
}

TEST(StartAuditTest, ScoresTakeFeaturesOfOneSaeWithOneValue) {
  const Json spec = spec_for({{"behaviour", "ioi"},
                              {"defence", "clamps"},
                              {"clamps", {clamp_json(1, 9, -5), clamp_json(1, 4, -5)}}});
  EXPECT_EQ(spec["sae"], "second");
  EXPECT_EQ(spec["defence"]["features"], (Json{4, 9}));
  EXPECT_EQ(spec["defence"]["edit"]["value"], -5.0);
  EXPECT_EQ(spec["defence"]["edit"]["kind"], "set");
  EXPECT_EQ(spec["behaviour"]["kind"], "ioi");
}

TEST(StartAuditTest, AnswersTakeSeveralSaesWithAValueEach) {
  AuditMaterial material{.sae_paths = {"first", "second"}};
  material.sink_norm = [](int64_t sae) {
    return sae == 0 ? std::optional<double>(1200) : std::nullopt;
  };
  const Json spec = spec_for(
      {{"behaviour", "refusal-benign"},
       {"defence", "clamps"},
       {"clamps",
        {clamp_json(0, 9, 2, "scale"), clamp_json(0, 4, 3, "scale"), clamp_json(1, 1, 5)}}},
      material);
  EXPECT_EQ(spec["defence"]["kind"], "edits");
  const Json& edits = spec["defence"]["edits"];
  ASSERT_EQ(edits.size(), 2u);
  EXPECT_EQ(edits[0]["sae"], "first");
  EXPECT_EQ(edits[0]["features"], (Json{9, 4}));
  EXPECT_EQ(edits[0]["edit"]["value"], (Json{2.0, 3.0}));
  EXPECT_EQ(edits[0]["sink_norm"], 1200.0);
  EXPECT_FALSE(edits[1].contains("sink_norm"));
}

TEST(StartAuditTest, TheOwnDefenceIsThePresets) {
  const Json spec = spec_for({{"behaviour", "toy-leaky"}});
  EXPECT_EQ(spec["defence"]["features"], Json::array());
  EXPECT_EQ(spec["sae"], "");
}

TEST(StartAuditTest, SoManyPromptsAsAskedFor) {
  const Json ioi = spec_for({{"behaviour", "ioi"}, {"prompts", 5}});
  EXPECT_EQ(ioi["behaviour"]["n_test"], 5);
  EXPECT_EQ(ioi["behaviour"]["n_train"], spec_for({{"behaviour", "ioi"}})["behaviour"]["n_train"]);
  EXPECT_EQ(spec_for({{"behaviour", "ioi"}})["behaviour"]["n_test"], 64);
  EXPECT_EQ(spec_for({{"behaviour", "refusal-benign"}, {"prompts", 3}})["behaviour"]["n_test"], 3);
  for (const char* name : {"facts", "mcq", "toy-leaky"}) {
    EXPECT_THROW(spec_for({{"behaviour", name}, {"prompts", 3}}), ConfigError) << name;
  }
  EXPECT_THROW(spec_for({{"behaviour", "ioi"}, {"prompts", -1}}), ConfigError);
  EXPECT_THROW(spec_for({{"behaviour", "ioi"}, {"prompts", 10'001}}), ConfigError);
}

TEST(StartAuditTest, WhatABehaviourCannotTakeIsSaid) {
  const auto message = [](Json request, const Json& clamps) {
    request["defence"] = "clamps";
    request["clamps"] = clamps;
    return message_of<ConfigError>([&] { spec_for(request); });
  };
  const Json ioi = {{"behaviour", "ioi"}}, refusal = {{"behaviour", "refusal"}};
  EXPECT_NE(message(ioi, {clamp_json(0, 1, 1), clamp_json(1, 1, 1)}).find("several SAEs"),
            std::string::npos);
  EXPECT_NE(message(ioi, {clamp_json(0, 1, 1), clamp_json(0, 2, 2)}).find("one value"),
            std::string::npos);
  EXPECT_NE(message(ioi, Json::array({clamp_json(7, 1, 1)})).find("list of 2 SAEs"),
            std::string::npos);
  EXPECT_NE(message(refusal, {clamp_json(0, 1, 1), clamp_json(0, 2, 1, "add")}).find("one rule"),
            std::string::npos);
  EXPECT_NE(message({{"behaviour", "toy-sealed"}}, Json::array({clamp_json(0, 1, 1)}))
                .find("a toy brings"),
            std::string::npos);
  EXPECT_NE(message(ioi, Json::array()).find("clamps: got none"), std::string::npos);
  EXPECT_NE(message({{"behaviour", "rm -rf"}}, Json::array({clamp_json(0, 1, 1)}))
                .find("expected one of"),
            std::string::npos);
}

TEST(StartAuditTest, NamesAreNoPaths) {
  for (const char* name : {"a", "ioi-weak_2.1", "0"}) EXPECT_NO_THROW(check_run_name(name)) << name;
  for (const char* name :
       {"", ".", "..", "../a", "a/b", ".serve", "-x", "a b", "a\n", "ä", "a\\b"}) {
    EXPECT_THROW(check_run_name(name), ConfigError) << name;
  }
  EXPECT_NO_THROW(check_run_name(std::string(64, 'a')));
  EXPECT_THROW(check_run_name(std::string(65, 'a')), ConfigError);
  EXPECT_NO_THROW(check_run_name(run_name_of("refusal-benign")));
}

}  // namespace
}  // namespace rebound
