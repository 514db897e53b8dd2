#include "rebound/audit/spec.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

AuditSpec read(const char* text) {
  return read_spec(Json::parse(text, nullptr, true, true), "s.json");
}

// The explicit form: every key of docs/spec.md.
constexpr const char* kExplicit = R"({
  "model": "m.gguf", "sae": "sae", "hook": "blocks.12.hook_resid_pre",
  "behaviour": {"kind": "ioi", "prompts": "p.jsonl", "train_prompts": "t.jsonl",
                "templates": "both", "n_train": 8, "n_test": 16},
  "defence": {"features": [3, 7], "edit": {"kind": "scale", "value": -2.5, "when": "always"},
              "positions": [2, -1],
              "choice": {"features": 5, "values": [-1, -3], "min_flip_rate": 0.25}},
  "perturb": {"positions": "all"},
  "rows": [{"constraint": "encoder_published", "objective": "match_base",
            "threat_model": "before_clamp", "budget": 7.5, "steps": 12, "lr": 0.05,
            "scope": "per_prompt", "stop": "never"}],
  "controls": {"on": true, "random_draws": 3, "inject_targets": 2, "shared_budgets": [1, 2.5]},
  "verdict": {"min_valid": 10, "min_valid_for_bottleneck": 40, "bottleneck_rate": 0.2},
  "batch": 16, "seed": 9, "dtype": "bfloat16", "trace": true})";

TEST(SpecTest, AnEmptyObjectIsTheDefaultAudit) {
  const AuditSpec spec = read("{}");
  EXPECT_EQ(to_json(spec), to_json(default_spec("ioi")));
  EXPECT_EQ(spec.behaviour.kind, "ioi");
  EXPECT_TRUE(spec.model.empty() && spec.sae.empty() && spec.hook.empty());
  EXPECT_EQ(spec.batch, 64);
  EXPECT_EQ(spec.seed, 0u);
  EXPECT_EQ(spec.dtype, "float32");
  EXPECT_FALSE(spec.trace);
  EXPECT_EQ(spec.perturb.kind, PositionSet::Kind::kAnswer);
  EXPECT_EQ(spec.defence.edit.kind, EditKind::kSet);
  EXPECT_EQ(spec.defence.edit.when, EditWhen::kActiveOnly);
  EXPECT_FALSE(spec.defence.is_value_given);
  EXPECT_EQ(spec.defence.choice.features, 64);
  EXPECT_TRUE(spec.controls.is_on);
  EXPECT_EQ(spec.controls.random_draws, 20);
  EXPECT_EQ(spec.verdict.min_valid, 20);
  EXPECT_EQ(spec.verdict.min_valid_for_bottleneck, 35);
  EXPECT_EQ(spec.verdict.bottleneck_rate, 0.1);
}

TEST(SpecTest, TheDefaultRowsClimbTheWholeLadderAndTheHeadlineIsTheStrictestRung) {
  const AuditSpec spec = read("{}");
  std::vector<std::string> names;
  for (const RowSpec& row : spec.rows) names.push_back(row.name());
  for (const char* rung : {"none", "penalty", "encoder_published", "encoder", "encoder_decoder"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), concat(rung, "/logit_diff/per_prompt@20")), 1)
        << rung;
  }
  for (const char* name : {"encoder_decoder/match_base/per_prompt@20",
                           "none/logit_diff/per_prompt@20/before_clamp",
                           "encoder_decoder/minimal_budget/per_prompt@20"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
  EXPECT_EQ(spec.headline().name(), "encoder_decoder/logit_diff/per_prompt@20");
}

TEST(SpecTest, EveryKeyOfTheExplicitFormIsTaken) {
  const AuditSpec spec = read(kExplicit);
  EXPECT_EQ(spec.model, "m.gguf");
  EXPECT_EQ(spec.sae, "sae");
  EXPECT_EQ(spec.hook, "blocks.12.hook_resid_pre");
  EXPECT_EQ(spec.behaviour.prompts, "p.jsonl");
  EXPECT_EQ(spec.behaviour.train_prompts, "t.jsonl");
  EXPECT_EQ(spec.behaviour.templates, "both");
  EXPECT_EQ(spec.behaviour.n_train, 8);
  EXPECT_EQ(spec.behaviour.n_test, 16);
  EXPECT_EQ(spec.defence.features, (std::vector<int64_t>{3, 7}));
  EXPECT_EQ(spec.defence.edit.kind, EditKind::kScale);
  EXPECT_EQ(spec.defence.edit.value, -2.5);
  EXPECT_TRUE(spec.defence.is_value_given);
  EXPECT_EQ(spec.defence.edit.when, EditWhen::kAlways);
  EXPECT_EQ(spec.defence.edit.positions.list, (std::vector<int64_t>{2, -1}));
  EXPECT_EQ(spec.defence.choice.features, 5);
  EXPECT_EQ(spec.defence.choice.values, (std::vector<double>{-1, -3}));
  EXPECT_EQ(spec.defence.choice.min_flip_rate, 0.25);
  EXPECT_EQ(spec.perturb.kind, PositionSet::Kind::kAll);
  ASSERT_EQ(spec.rows.size(), 1u);
  const RowSpec& row = spec.rows[0];
  EXPECT_EQ(row.name(), "encoder_published/match_base/per_prompt@7.5/before_clamp");
  EXPECT_EQ(row.steps, 12);
  EXPECT_EQ(row.lr, 0.05);
  EXPECT_EQ(row.stop, StopRule::kNever);
  EXPECT_EQ(spec.controls.random_draws, 3);
  EXPECT_EQ(spec.controls.inject_targets, 2);
  EXPECT_EQ(spec.controls.shared_budgets, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(spec.verdict.min_valid, 10);
  EXPECT_EQ(spec.verdict.min_valid_for_bottleneck, 40);
  EXPECT_EQ(spec.verdict.bottleneck_rate, 0.2);
  EXPECT_EQ(spec.batch, 16);
  EXPECT_EQ(spec.seed, 9u);
  EXPECT_EQ(spec.dtype, "bfloat16");
  EXPECT_TRUE(spec.trace);
}

TEST(SpecTest, TheEffectiveSpecReadsBackAsItself) {
  for (const char* text : {"{}",
                           kExplicit,
                           R"({"behaviour": {"kind": "toy-sealed"}, "controls": false})",
                           R"({"rows": [{"objective": "minimal_budget", "scope": "per_prompt"},
                                        {"scope": "shared", "stop": "at_goal"}]})"}) {
    const Json effective = to_json(read(text));
    EXPECT_EQ(to_json(read_spec(effective, "spec.json")), effective) << text;
    EXPECT_EQ(to_json(read_spec(Json::parse(effective.dump(2)), "spec.json")), effective) << text;
  }
}

TEST(SpecTest, WhatIsNotGivenInARowHasTheRowsOwnDefault) {
  const AuditSpec spec =
      read(R"({"rows": [{}, {"objective": "match_base"}, {"objective": "minimal_budget"}]})");
  EXPECT_EQ(spec.rows[0].name(), "encoder_decoder/logit_diff/per_prompt@20");
  EXPECT_EQ(spec.rows[0].stop, StopRule::kNever);
  EXPECT_EQ(spec.rows[0].steps, 100);
  EXPECT_EQ(spec.rows[1].stop, StopRule::kAtGoal);
  EXPECT_EQ(spec.rows[2].stop, StopRule::kAtGoal);
  EXPECT_EQ(spec.rows[2].steps, 20);
}

TEST(SpecTest, TheHeadlineIsTheLastAttackPerPromptWhereTheStrictestRungIsMissing) {
  EXPECT_EQ(read(R"({"rows": [{"constraint": "none"}, {"constraint": "encoder"},
                              {"constraint": "penalty", "scope": "shared"},
                              {"constraint": "encoder", "objective": "minimal_budget"}]})")
                .headline()
                .name(),
            "encoder/logit_diff/per_prompt@20");
}

TEST(SpecTest, TheExampleOfTheManualIsASpec) {
  const std::string manual = read_text_file(REBOUND_SOURCE_DIR "/docs/spec.md");
  const size_t start = manual.find("```json\n") + 8;
  const Json example =
      parse_json(manual.substr(start, manual.find("```", start) - start), "docs/spec.md");
  const AuditSpec spec = read_spec(example, "docs/spec.md");
  EXPECT_EQ(spec.rows.size(), 3u);
  EXPECT_EQ(to_json(spec).size(), example.size());  // it shows every key
}

struct BadSpec {
  const char* text;
  const char* key;  // in the message
};

void PrintTo(const BadSpec& bad, std::ostream* out) { *out << bad.text; }

class BadSpecTest : public testing::TestWithParam<BadSpec> {};

TEST_P(BadSpecTest, IsOneConfigErrorThatNamesTheKey) {
  try {
    read(GetParam().text);
    FAIL() << "accepted: " << GetParam().text;
  } catch (const ConfigError& e) {
    const std::string message = e.what();
    EXPECT_NE(message.find(GetParam().key), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_NE(message.find("expected"), std::string::npos) << message;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Spec,
    BadSpecTest,
    testing::Values(BadSpec{"[]", "s.json"},
                    BadSpec{R"({"modle": "m"})", "modle"},
                    BadSpec{R"({"model": 5})", "model"},
                    BadSpec{R"({"hook": "blocks.12.hook_nowhere"})", "s.json.hook"},
                    BadSpec{R"({"hook": 12})", "hook"},
                    BadSpec{R"({"behaviour": []})", "behaviour"},
                    BadSpec{R"({"behaviour": {"kind": 5}})", "behaviour.kind"},
                    BadSpec{R"({"behaviour": {"kind": "refusal"}})", "behaviour.kind"},
                    BadSpec{R"({"behaviour": {"n_test": 1.5}})", "behaviour.n_test"},
                    BadSpec{R"({"behaviour": {"promts": "p"}})", "promts"},
                    BadSpec{R"({"defence": 3})", "defence"},
                    BadSpec{R"({"defence": {"features": 3}})", "defence.features"},
                    BadSpec{R"({"defence": {"features": [1.5]}})", "defence.features"},
                    BadSpec{R"({"defence": {"features": ["1"]}})", "defence.features"},
                    BadSpec{R"({"defence": {"features": [-1]}})", "defence.features"},
                    BadSpec{R"({"defence": {"edit": {"kind": "drop"}}})", "edit.kind"},
                    BadSpec{R"({"defence": {"edit": {"when": "never"}}})", "edit.when"},
                    BadSpec{R"({"defence": {"edit": {"value": "x"}}})", "edit.value"},
                    BadSpec{R"({"defence": {"edit": {"vlaue": 1}}})", "vlaue"},
                    BadSpec{R"({"defence": {"positions": "last"}})", "defence.positions"},
                    BadSpec{R"({"defence": {"positions": []}})", "defence.positions"},
                    BadSpec{R"({"defence": {"choice": {"values": []}}})", "defence.choice"},
                    BadSpec{R"({"defence": {"choice": {"values": [true]}}})",
                            "defence.choice.values"},
                    BadSpec{R"({"defence": {"choice": {"features": 0}}})", "defence.choice"},
                    BadSpec{R"({"perturb": {"positions": [0.5]}})", "perturb.positions"},
                    BadSpec{R"({"perturb": {"at": "all"}})", "\"at\""}));

INSTANTIATE_TEST_SUITE_P(
    RowsAndRest,
    BadSpecTest,
    testing::Values(
        BadSpec{R"({"rows": {}})", "rows"},
        BadSpec{R"({"rows": []})", "rows"},
        BadSpec{R"({"rows": [5]})", "rows[0]"},
        BadSpec{R"({"rows": [{}, {"steps": "many"}]})", "rows[1].steps"},
        BadSpec{R"({"rows": [{"constraint": "all"}]})", "constraint"},
        BadSpec{R"({"rows": [{"objective": "margin"}]})", "objective"},
        BadSpec{R"({"rows": [{"threat_model": "input"}]})", "threat_model"},
        BadSpec{R"({"rows": [{"scope": "batch"}]})", "scope"},
        BadSpec{R"({"rows": [{"stop": "early"}]})", "stop"},
        BadSpec{R"({"rows": [{"budget": 0}]})", "budget"},
        BadSpec{R"({"rows": [{"steps": -1}]})", "steps"},
        BadSpec{R"({"rows": [{"lr": 0}]})", "lr"},
        BadSpec{R"({"rows": [{"budgte": 5}]})", "budgte"},
        BadSpec{R"({"rows": [{}, {"steps": 5}]})", "twice"},
        BadSpec{R"({"rows": [{"scope": "shared", "objective": "minimal_budget"}]})", "scope"},
        BadSpec{R"({"rows": [{"scope": "shared"}], "perturb": {"positions": "all"}})", "scope"},
        BadSpec{R"({"controls": {"random_draws": -1}})", "controls"},
        BadSpec{R"({"controls": {"on": 1}})", "controls.on"},
        BadSpec{R"({"controls": {"shared_budgets": [0]}})", "controls.shared_budgets"},
        BadSpec{R"({"verdict": {"min_valid": "20"}})", "verdict.min_valid"},
        BadSpec{R"({"verdict": {"min_valid": 0}})", "verdict.min_valid"},
        BadSpec{R"({"verdict": {"bottleneck_rate": 1.5}})", "verdict.bottleneck_rate"},
        BadSpec{R"({"batch": 0})", "batch"},
        BadSpec{R"({"seed": -1})", "seed"},
        BadSpec{R"({"seed": 1.5})", "seed"},
        BadSpec{R"({"dtype": "float64"})", "dtype"},
        BadSpec{R"({"trace": "yes"})", "trace"}));

}  // namespace
}  // namespace rebound
