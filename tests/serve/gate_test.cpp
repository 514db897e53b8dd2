#include "rebound/serve/gate.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "serve/run_fixture.h"

namespace rebound {
namespace {

int status_at_gate(const HttpRequest& request) {
  const auto refused = Gate(test_gate()).refusal(request);
  return refused ? refused->status : 200;
}

TEST(GateTest, OnlyPathsBehindTheTokenPass) {
  EXPECT_EQ(status_at_gate(request_to("/")), 200);
  EXPECT_EQ(status_at_gate(request_to("")), 200);
  EXPECT_EQ(status_at_gate(request_to("/api/runs")), 200);
  const std::string wrong = std::string(63, 'a') + "b";
  for (const std::string& path : {std::string("/"),
                                  std::string(""),
                                  std::string("/api/runs"),
                                  "/" + kToken.substr(1),
                                  "/" + kToken + "a/",
                                  "/" + wrong + "/",
                                  "//" + kToken + "/",
                                  kToken + "/"}) {
    HttpRequest request = request_to("");
    request.path = path;
    EXPECT_EQ(status_at_gate(request), 403) << path;
  }
}

TEST(GateTest, ForeignHostNamesAreRefused) {
  HttpRequest request = request_to("/");
  for (const char* host : {"localhost:4321", "127.0.0.1:4321"}) {
    request.headers["host"] = host;
    EXPECT_EQ(status_at_gate(request), 200) << host;
  }
  for (const char* host : {"evil.example:4321",
                           "127.0.0.1",
                           "127.0.0.1:4322",
                           "",
                           "localhost:43210",
                           "127.0.0.1:4321, evil.example"}) {
    request.headers["host"] = host;
    EXPECT_EQ(status_at_gate(request), 403) << host;
  }
  request.headers.erase("host");
  EXPECT_EQ(status_at_gate(request), 403);
}

TEST(GateTest, OtherMethodsAreRefusedWithoutCors) {
  for (const char* method : {"PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}) {
    HttpRequest request = request_to("/");
    request.method = method;
    const auto refused = Gate(test_gate()).refusal(request);
    ASSERT_TRUE(refused) << method;
    EXPECT_EQ(refused->status, 405);
    EXPECT_EQ(refused->headers.count("Access-Control-Allow-Origin"), 0u);
  }
}

TEST(GateTest, PostsComeFromThisPageAsJsonOfKnownLength) {
  const HttpRequest good = post_to("/api/audits", "{}");
  EXPECT_EQ(status_at_gate(good), 200);
  const auto status_with = [&](const char* name, const std::string& value) {
    HttpRequest request = good;
    request.headers[name] = value;
    return status_at_gate(request);
  };
  EXPECT_EQ(status_with("origin", "http://127.0.0.1:4321"), 200);
  EXPECT_EQ(status_with("sec-fetch-site", "same-origin"), 200);
  EXPECT_EQ(status_with("content-type", "Application/JSON ; charset=utf-8"), 200);
  EXPECT_EQ(status_with("origin", "http://127.0.0.1:9999"), 403);
  EXPECT_EQ(status_with("origin", "null"), 403);
  EXPECT_EQ(status_with("sec-fetch-site", "cross-site"), 403);
  EXPECT_EQ(status_with("sec-fetch-site", "same-site"), 403);
  EXPECT_EQ(status_with("content-type", "text/plain"), 415);
  EXPECT_EQ(status_with("content-encoding", "gzip"), 415);
  EXPECT_EQ(status_with("transfer-encoding", "chunked"), 411);
  EXPECT_EQ(status_with("content-length", ""), 411);
  EXPECT_EQ(status_with("content-length", "12x"), 411);
  EXPECT_EQ(status_with("content-length", "-1"), 411);
  EXPECT_EQ(status_with("content-length", "65536"), 200);
  EXPECT_EQ(status_with("content-length", "65537"), 413);
  EXPECT_EQ(status_with("content-length", "99999999999999999999999"), 411);
}

// 3 at once, then one for every half second.
TEST(GateTest, RequestsComeAtARate) {
  double now = 10;
  GateOptions options = test_gate();
  options.requests_per_second = 2;
  options.burst = 3;
  options.now_seconds = [&now] { return now; };
  Gate gate(options);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(gate.refusal_by_rate()) << i;
  const auto refused = gate.refusal_by_rate();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429);
  now += 0.5;
  EXPECT_FALSE(gate.refusal_by_rate());
  EXPECT_TRUE(gate.refusal_by_rate());
  now += 100;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(gate.refusal_by_rate()) << i;
  EXPECT_TRUE(gate.refusal_by_rate());
}

TEST(GateTest, TokensAreLongAndNew) {
  const std::string a = random_token(), b = random_token();
  EXPECT_EQ(a.size(), 64u);
  EXPECT_EQ(a.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(a, b);
  EXPECT_THROW(Gate({.token = "short", .port = 1}), ConfigError);
}

}  // namespace
}  // namespace rebound
