#include "rebound/model/config.h"

#include <gtest/gtest.h>

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

std::string error_of(const Json& json) {
  try {
    read_hugging_face_config(json);
    return "no error";
  } catch (const Error& e) {
    return e.what();
  }
}

TEST(ConfigTest, HuggingFaceKeysAreRead) {
  const ModelConfig config = read_hugging_face_config(small_config());
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.rope_theta, 500.0);
  EXPECT_FALSE(config.tie_word_embeddings);
}

TEST(ConfigTest, KeysThatChangeTheArithmeticAreRefused) {
  Json json = small_config();
  json["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}};
  EXPECT_NE(error_of(json).find("llama3"), std::string::npos);
  json = small_config();
  json["sliding_window"] = 512;
  EXPECT_NE(error_of(json).find("sliding_window"), std::string::npos);
  json = small_config();
  json["hidden_act"] = "gelu";
  EXPECT_NE(error_of(json).find("hidden_act"), std::string::npos);
  json = small_config();
  json["model_type"] = "mamba";
  EXPECT_NE(error_of(json).find("mamba"), std::string::npos);
}

TEST(ConfigTest, ImpossibleSizesNameTheField) {
  Json json = small_config();
  json["num_key_value_heads"] = 3;
  EXPECT_NE(error_of(json).find("num_key_value_heads"), std::string::npos);
  json = small_config();
  json["hidden_size"] = 1LL << 40;
  EXPECT_NE(error_of(json).find("hidden_size"), std::string::npos);
  json = small_config();
  json["num_attention_heads"] = 0;
  EXPECT_NE(error_of(json).find("num_attention_heads"), std::string::npos);
}

}  // namespace
}  // namespace rebound
