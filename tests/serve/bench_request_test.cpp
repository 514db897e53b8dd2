#include "rebound/serve/bench_request.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "support/failures.h"

namespace rebound {
namespace {

BenchRequest read_request(const Json& json) { return read_bench_request(json, {}); }

TEST(BenchRequestTest, EveryKeyIsRead) {
  const BenchRequest request = read_request(
      {{"prompt", "When Mary"},
       {"chat", true},
       {"clamps",
        {{{"sae", 1}, {"feature", 7}, {"kind", "add"}, {"value", -2.5}, {"when", "always"}}}},
       {"max_new_tokens", 5},
       {"features", 3}});
  EXPECT_EQ(request.prompt, "When Mary");
  EXPECT_TRUE(request.is_chat);
  ASSERT_EQ(request.clamps.size(), 1u);
  EXPECT_EQ(request.clamps[0].sae, 1);
  EXPECT_EQ(request.clamps[0].feature, 7);
  EXPECT_EQ(request.clamps[0].kind, EditKind::kAdd);
  EXPECT_EQ(request.clamps[0].when, EditWhen::kAlways);
  EXPECT_EQ(request.clamps[0].value, -2.5);
  EXPECT_EQ(request.max_new_tokens, 5);
  EXPECT_EQ(request.features, 3);
}

TEST(BenchRequestTest, WhatIsTooMuchIsRefusedByName) {
  const auto message = [](const Json& changes) {
    Json json = {{"prompt", "a"}};
    json.update(changes);
    return message_of<ConfigError>([&] { read_request(json); });
  };
  const Json clamp = {{"feature", 1}, {"value", 0}};
  EXPECT_NE(message({{"prompt", ""}}).find("prompt: got nothing"), std::string::npos);
  EXPECT_NE(message({{"prompt", std::string(16385, 'x')}}).find("16385 bytes"), std::string::npos);
  EXPECT_NE(message({{"max_new_tokens", 257}}).find("expected 1..256"), std::string::npos);
  EXPECT_NE(message({{"max_new_tokens", 0}}).find("expected 1..256"), std::string::npos);
  EXPECT_NE(message({{"features", 101}}).find("expected 1..100"), std::string::npos);
  EXPECT_NE(message({{"clamps", Json(65, clamp)}}).find("at most 64"), std::string::npos);
  EXPECT_NE(message({{"clamps", {clamp, clamp}}}).find("feature 1 twice"), std::string::npos);
  EXPECT_NE(message({{"clamps", {{{"feature", 1}, {"value", 1e7}}}}}).find("1e6"),
            std::string::npos);
  EXPECT_NE(message({{"clamps", 3}}).find("expected a list"), std::string::npos);
  EXPECT_NE(message({{"surprise", 3}}).find("surprise"), std::string::npos);
  EXPECT_NE(message({{"chat", 1}}).find("true or false"), std::string::npos);
}

}  // namespace
}  // namespace rebound
