#include "rebound/model/config.h"

#include <gtest/gtest.h>

#include <map>

#include "rebound/base/error.h"
#include "rebound/model/families.h"

namespace rebound {
namespace {

Json small_config() {
  return {{"model_type", "llama"},
          {"vocab_size", 10},
          {"hidden_size", 8},
          {"intermediate_size", 16},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 1},
          {"rms_norm_eps", 1e-5},
          {"hidden_act", "silu"},
          {"rope_theta", 500.0},
          {"torch_dtype", "float32"}};
}

// What every family needs, without keys of its own.
Json config_of(const std::string& model_type) {
  if (model_type == "gpt2") {
    return {
        {"model_type", "gpt2"}, {"vocab_size", 10}, {"n_embd", 8}, {"n_layer", 2}, {"n_head", 2}};
  }
  return {{"model_type", model_type},
          {"vocab_size", 10},
          {"hidden_size", 16},
          {"intermediate_size", 16},
          {"num_hidden_layers", 12},
          {"num_attention_heads", 2}};
}

Json with(Json config, const Json& changes) {
  config.update(changes);
  return config;
}

std::string error_of(const Json& json) {
  try {
    read_hugging_face_config(json);
    return "no error";
  } catch (const DataError& e) {
    return e.what();
  }
}

void expect_refused(const Json& json, const std::string& part) {
  const std::string error = error_of(json);
  EXPECT_NE(error.find(part), std::string::npos) << json.dump() << "\n" << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(ConfigTest, HuggingFaceKeysAreRead) {
  const ModelConfig config = read_hugging_face_config(small_config());
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.rope_theta, 500.0);
  EXPECT_FALSE(config.tie_word_embeddings);
}

TEST(ConfigTest, KeysThatChangeTheArithmeticAreRefused) {
  expect_refused(
      with(small_config(), {{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 8.0}}}}),
      "dynamic");
  expect_refused(with(small_config(), {{"sliding_window", 512}}), "sliding_window");
  expect_refused(with(small_config(), {{"hidden_act", "quick_gelu"}}), "hidden_act");
  expect_refused(with(small_config(), {{"partial_rotary_factor", 0.5}}), "partial_rotary_factor");
  expect_refused(with(small_config(), {{"quantization_config", {{"bits", 4}}}}),
                 "quantization_config");
}

TEST(ConfigTest, ImpossibleSizesNameTheField) {
  expect_refused(with(small_config(), {{"num_key_value_heads", 3}}), "num_key_value_heads");
  expect_refused(with(small_config(), {{"hidden_size", 1LL << 40}}), "hidden_size");
  expect_refused(with(small_config(), {{"num_attention_heads", 0}}), "num_attention_heads");
  expect_refused(with(small_config(), {{"num_hidden_layers", 1LL << 40}}), "num_hidden_layers");
  Json json = small_config();
  json.erase("vocab_size");
  expect_refused(json, "vocab_size");
}

TEST(ConfigTest, EveryFamilyReadsItsOwnDefaultsAndRefusesWhatItDoesNotKnow) {
  for (const Architecture& row : architectures()) {
    const Json json = config_of(row.model_type);
    EXPECT_EQ(error_of(json), "no error") << row.model_type;
    expect_refused(with(json, {{"new_arithmetic", 1}}), "new_arithmetic");
    const char* scaling =
        row.model_type == std::string("gpt2") ? "scale_attn_by_inverse_layer_idx" : "rope_scaling";
    const Json value = scaling == std::string("rope_scaling")
                           ? Json{{"type", "dynamic"}, {"factor", 2.0}}
                           : Json(true);
    expect_refused(with(json, {{scaling, value}}), scaling);
  }
}

TEST(ConfigTest, KeysOfOtherFamiliesAreRefused) {
  const std::map<std::string, Json> wrong = {
      {"llama", {{"final_logit_softcapping", 30.0}}},
      {"mistral", {{"attention_bias", true}}},
      {"qwen2", {{"mlp_bias", true}}},
      {"qwen3", {{"no_rope_layers", Json::array({1, 0})}}},
      {"smollm3", {{"layer_types", Json::array({"linear"})}}},
      {"gemma", {{"use_bidirectional_attention", true}}},
      {"gemma2", {{"rope_local_base_freq", 1e4}}},
      {"gemma3_text", {{"attn_logit_softcapping", 50.0}}},
      {"phi3", {{"attention_bias", true}}},
      {"olmo2", {{"clip_qkv", 8.0}}},
      {"stablelm", {{"qk_layernorm", true}}},
      {"gpt_neox", {{"qk_layernorm", true}}},
      {"gpt2", {{"scale_attn_weights", false}}}};
  for (const Architecture& row : architectures()) {
    const Json& change = wrong.at(row.model_type);
    expect_refused(with(config_of(row.model_type), change), change.begin().key());
  }
}

TEST(ConfigTest, OlderAndNewerRopeKeysSayTheSame) {
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 32}};
  const ModelConfig older = read_hugging_face_config(
      with(small_config(), {{"rope_theta", 5e5}, {"rope_scaling", llama3}}));
  Json newer_json = small_config();
  newer_json.erase("rope_theta");
  newer_json["rope_parameters"] = with(llama3, {{"rope_theta", 5e5}});
  const ModelConfig newer = read_hugging_face_config(newer_json);
  for (const ModelConfig& config : {older, newer}) {
    EXPECT_EQ(config.rope_theta, 5e5);
    EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
    EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 32);
  }
  const ModelConfig neox = read_hugging_face_config(
      with(config_of("gpt_neox"), {{"rotary_pct", 0.5}, {"rotary_emb_base", 500}}));
  EXPECT_EQ(neox.rotary_dim, 4);
  EXPECT_EQ(neox.rope_theta, 500.0);
}

TEST(ConfigTest, Gemma3HasFiveLocalLayersToAGlobalOneAndTwoBases) {
  const ModelConfig older = read_hugging_face_config(with(config_of("gemma3_text"),
                                                          {{"rope_local_base_freq", 12345},
                                                           {"rope_theta", 1e6},
                                                           {"sliding_window", 512},
                                                           {"_sliding_window_pattern", 6}}));
  const ModelConfig newer = read_hugging_face_config(
      with(config_of("gemma3_text"),
           {{"rope_parameters",
             {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}},
              {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 12345}}}}},
            {"sliding_window", 512}}));
  for (const ModelConfig& config : {older, newer}) {
    EXPECT_EQ(config.rope_theta, 1e6);
    EXPECT_EQ(config.rope_local_base_freq, 12345);
    for (int64_t i = 0; i < 12; ++i) EXPECT_EQ(config.kind_of(i).is_sliding, i != 5 && i != 11);
  }
}

TEST(ConfigTest, AbsentAndNullWindowsAndCapsDiffer) {
  EXPECT_EQ(read_hugging_face_config(config_of("mistral")).sliding_window, 4096);
  const ModelConfig none =
      read_hugging_face_config(with(config_of("mistral"), {{"sliding_window", nullptr}}));
  EXPECT_FALSE(none.has_sliding_layers());
  EXPECT_EQ(read_hugging_face_config(config_of("gemma2")).attn_logit_softcapping, 50.0);
  const ModelConfig uncapped =
      read_hugging_face_config(with(config_of("gemma2"), {{"attn_logit_softcapping", nullptr}}));
  EXPECT_EQ(uncapped.attn_logit_softcapping, 0.0);
}

TEST(ConfigTest, AnUnknownArchitectureNamesTheNearestAndTheKeysThatDiffer) {
  const Json mixtral = with(small_config(),
                            {{"model_type", "mixtral"},
                             {"sliding_window", nullptr},
                             {"num_local_experts", 8},
                             {"num_experts_per_tok", 2}});
  expect_refused(mixtral, "\"mixtral\"");
  expect_refused(mixtral,
                 "the nearest is \"mistral\", which lacks num_experts_per_tok, num_local_experts");
  expect_refused(with(small_config(), {{"model_type", "ilama"}}),
                 "the nearest is \"llama\", which knows every key");
  expect_refused({{"model_type", "mamba"}}, "expected one of: llama, mistral");
}

}  // namespace
}  // namespace rebound
