#include "rebound/model/rope_keys.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/model/rope.h"
#include "support/failures.h"

namespace rebound {
namespace {

// Heads of 16 dimensions, texts of up to 64 positions.
Json config_with_rope(const std::string& model_type, const Json& scaling, const Json& more = {}) {
  Json config = {{"model_type", model_type},
                 {"vocab_size", 10},
                 {"hidden_size", 32},
                 {"intermediate_size", 16},
                 {"num_hidden_layers", 2},
                 {"num_attention_heads", 2},
                 {"max_position_embeddings", 64},
                 {"rope_scaling", scaling}};
  if (more.is_object()) config.update(more);
  return config;
}

RopeScaling scaling_of(const std::string& model_type, const Json& scaling, const Json& more = {}) {
  return read_hugging_face_config(config_with_rope(model_type, scaling, more)).rope_scaling;
}

void expect_rope_refused(const Json& config, const std::string& part) {
  const std::string error = message_of<DataError>([&] { read_hugging_face_config(config); });
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

Json longrope(size_t pairs) {
  return {{"type", "longrope"},
          {"short_factor", std::vector<double>(pairs, 1.5)},
          {"long_factor", std::vector<double>(pairs, 3)}};
}

TEST(RopeKeysTest, YarnHasDefaultsAndAnAttentionFactorOfItsFactor) {
  const RopeScaling plain = scaling_of("llama", {{"type", "yarn"}, {"factor", 4.0}});
  EXPECT_EQ(plain.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(plain.original_max_position_embeddings, 64);
  EXPECT_EQ(plain.beta_fast, 32);
  EXPECT_EQ(plain.beta_slow, 1);
  EXPECT_TRUE(plain.is_ramp_whole);
  EXPECT_NEAR(plain.attention_factor, 0.1 * std::log(4) + 1, 1e-12);
  const RopeScaling null_factor = scaling_of(
      "llama",
      {{"rope_type", "yarn"}, {"factor", nullptr}, {"original_max_position_embeddings", 8}});
  EXPECT_EQ(null_factor.factor, 8);
  const Json given = {
      {"rope_type", "yarn"}, {"factor", 4}, {"attention_factor", 1.25}, {"truncate", false}};
  EXPECT_EQ(scaling_of("llama", given).attention_factor, 1.25);
  EXPECT_FALSE(scaling_of("llama", given).is_ramp_whole);
}

TEST(RopeKeysTest, YarnsTwoScalesDivideEachOther) {
  Json scaling = {{"rope_type", "yarn"}, {"factor", 40}, {"mscale", 2.0}, {"mscale_all_dim", 0.5}};
  EXPECT_NEAR(scaling_of("llama", scaling).attention_factor,
              (0.2 * std::log(40) + 1) / (0.05 * std::log(40) + 1),
              1e-12);
  scaling["mscale_all_dim"] = 0;  // as if absent
  EXPECT_NEAR(scaling_of("llama", scaling).attention_factor, 0.1 * std::log(40) + 1, 1e-12);
}

TEST(RopeKeysTest, LongropeTakesShortFactorsAndTheLengthThatTheyAreFor) {
  const ModelConfig config = read_hugging_face_config(
      config_with_rope("phi3", longrope(8), {{"original_max_position_embeddings", 16}}));
  EXPECT_EQ(config.max_position_embeddings, 16);
  EXPECT_EQ(config.rope_scaling.long_positions, 64);
  EXPECT_EQ(config.rope_scaling.divisors, std::vector<double>(8, 1.5));
  EXPECT_NEAR(
      config.rope_scaling.attention_factor, std::sqrt(1 + std::log(4) / std::log(16)), 1e-12);
  EXPECT_NE(config.position_limit().find("16 (up to 64"), std::string::npos);
}

TEST(RopeKeysTest, LongropeThatIsAsLongAsItsOriginalIsNotCut) {
  const ModelConfig config = read_hugging_face_config(
      config_with_rope("phi3", longrope(8), {{"original_max_position_embeddings", 64}}));
  EXPECT_EQ(config.max_position_embeddings, 64);
  EXPECT_EQ(config.position_limit(), "64");
  EXPECT_EQ(config.rope_scaling.attention_factor, 1);
}

// Phi-3's class has 4096 where the file is silent, and older names of longrope.
TEST(RopeKeysTest, TheLengthBesideTheScalingWinsOverTheOneInside) {
  Json inside = longrope(8);
  inside["original_max_position_embeddings"] = 32;
  EXPECT_EQ(scaling_of("phi3", inside).original_max_position_embeddings, 4096);
  const Json beside = {{"original_max_position_embeddings", 16}};
  EXPECT_EQ(scaling_of("phi3", inside, beside).original_max_position_embeddings, 16);
  EXPECT_EQ(scaling_of("llama", inside).original_max_position_embeddings, 32);
  EXPECT_EQ(scaling_of("llama", inside, beside).original_max_position_embeddings, 16);
  for (const char* older : {"su", "yarn"}) {
    inside["type"] = older;
    EXPECT_EQ(scaling_of("phi3", inside).kind, RopeScaling::Kind::kDivisors) << older;
  }
}

// The keys of Phi-4-mini-instruct, its factors aside.
TEST(RopeKeysTest, AReleasedPhiIsRead) {
  const Json config = {{"architectures", {"Phi3ForCausalLM"}},
                       {"attention_bias", false},
                       {"attention_dropout", 0.0},
                       {"bos_token_id", 199999},
                       {"embd_pdrop", 0.0},
                       {"eos_token_id", 199999},
                       {"full_attn_mod", 1},
                       {"hidden_act", "silu"},
                       {"hidden_size", 3072},
                       {"initializer_range", 0.02},
                       {"intermediate_size", 8192},
                       {"interpolate_factor", 1},
                       {"lm_head_bias", false},
                       {"max_position_embeddings", 131072},
                       {"mlp_bias", false},
                       {"model_type", "phi3"},
                       {"num_attention_heads", 24},
                       {"num_hidden_layers", 32},
                       {"num_key_value_heads", 8},
                       {"original_max_position_embeddings", 4096},
                       {"pad_token_id", 199999},
                       {"partial_rotary_factor", 0.75},
                       {"resid_pdrop", 0.0},
                       {"rms_norm_eps", 1e-05},
                       {"rope_scaling", longrope(48)},
                       {"rope_theta", 10000.0},
                       {"sliding_window", 262144},
                       {"tie_word_embeddings", true},
                       {"torch_dtype", "bfloat16"},
                       {"transformers_version", "4.45.0"},
                       {"use_cache", true},
                       {"vocab_size", 200064}};
  const ModelConfig phi = read_hugging_face_config(config);
  EXPECT_EQ(phi.rotary_size(), 96);
  EXPECT_EQ(phi.max_position_embeddings, 4096);
  EXPECT_EQ(phi.rope_scaling.long_positions, 131072);
  for (const char* key : {"lm_head_bias", "full_attn_mod"}) {
    Json other = config;
    other[key] = std::string(key) == "full_attn_mod" ? Json(2) : Json(true);
    expect_rope_refused(other, key);
  }
}

TEST(RopeKeysTest, WhatCannotBeScaledSoIsRefusedByName) {
  const Json no_factor = {{"rope_type", "yarn"}};
  expect_rope_refused(config_with_rope("llama", no_factor), "factor");
  expect_rope_refused(config_with_rope("llama", {{"rope_type", "su"}}), "\"su\"");
  expect_rope_refused(config_with_rope("phi3", longrope(7)), "got 7 factors");
  Json uneven = longrope(8);
  uneven["long_factor"] = {1, 2};
  expect_rope_refused(config_with_rope("phi3", uneven), "long_factor: got 2");
  Json negative = longrope(8);
  negative["short_factor"][3] = -1;
  expect_rope_refused(config_with_rope("phi3", negative), "numbers > 0");
  Json mscaled = longrope(8);
  mscaled["short_mscale"] = 1.2;
  expect_rope_refused(config_with_rope("phi3", mscaled), "short_mscale");
  const Json weak = {{"rope_type", "yarn"}, {"factor", 2}, {"attention_factor", 0}};
  expect_rope_refused(config_with_rope("llama", weak), "attention_factor 0");
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 2}};
  expect_rope_refused(config_with_rope("llama", yarn, {{"rope_theta", 1}}), "rope_theta");
  const Json none = {{"rope_type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 0}};
  expect_rope_refused(config_with_rope("llama", none), "original_max_position_embeddings: got 0");
}

TEST(RopeKeysTest, TwoAccountsOfTheRopeMustBeTheSame) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 2.0}};
  Json other = linear;
  other["factor"] = 4.0;
  expect_rope_refused(config_with_rope("llama", linear, {{"rope_parameters", other}}),
                      "config.json: got rope_scaling and another rope_parameters");
  EXPECT_EQ(scaling_of("llama", linear, {{"rope_parameters", linear}}).factor, 2);
  EXPECT_EQ(scaling_of("llama", nullptr, {{"rope_parameters", other}}).factor, 4);
  EXPECT_EQ(scaling_of("llama", linear, {{"rope_parameters", Json::object()}}).factor, 2);
}

}  // namespace
}  // namespace rebound
