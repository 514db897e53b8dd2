#include "rebound/serve/server.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <thread>

#include "rebound/base/error.h"
#include "support/failures.h"

namespace rebound {
namespace {

// A server that echoes, refuses /no, and streams three lines.
class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    thread_ = std::thread([this] {
      server_.run({.refusal = [](const HttpRequest& request) -> std::optional<HttpResponse> {
                     if (request.path != "/no") return std::nullopt;
                     return text_response(403, "refused");
                   },
                   .handle = [this](const HttpRequest& request) { return answer(request); },
                   .body_bytes = 1000});
    });
  }
  void TearDown() override {
    server_.stop();
    thread_.join();
  }

  HttpResponse answer(const HttpRequest& request) {
    seen_ = request;
    if (request.path != "/lines")
      return text_response(200, request.method + " " + request.path + " " + request.body);
    HttpResponse lines{.type = "application/x-ndjson"};
    lines.stream = [](const WriteText& write) {
      for (const char* line : {"one\n", "two\n", "three\n"}) write(line);
    };
    return lines;
  }

  HttpServer server_{0};
  std::thread thread_;
  HttpRequest seen_;
};

TEST_F(ServerTest, RequestsArriveDecodedWithLowerCaseHeaders) {
  httplib::Client client("127.0.0.1", server_.port());
  const auto response =
      client.Get("/a%2Fb%20c/..%00x?q=1", httplib::Headers{{"X-Mark", "yes"}, {"X-Mark", "no"}});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(seen_.path, std::string("/a/b c/..\0x", 11));
  EXPECT_EQ(seen_.header("x-mark"), "yes, no");
  EXPECT_EQ(seen_.header("host"), concat("127.0.0.1:", server_.port()));
  EXPECT_EQ(seen_.header("missing"), "");
}

TEST_F(ServerTest, BodiesHaveALimit) {
  httplib::Client client("127.0.0.1", server_.port());
  const auto small = client.Post("/x", std::string(1000, 'b'), "application/json");
  ASSERT_TRUE(small);
  EXPECT_EQ(small->status, 200);
  const auto large = client.Post("/x", std::string(1001, 'b'), "application/json");
  ASSERT_TRUE(large);
  EXPECT_EQ(large->status, 413);
}

TEST_F(ServerTest, RefusalsComeBeforeTheHandler) {
  httplib::Client client("127.0.0.1", server_.port());
  const auto response = client.Post("/no", "body", "text/plain");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 403);
  EXPECT_EQ(response->body, "refused\n");
  EXPECT_EQ(seen_.path, "/") << "the handler saw nothing";
}

TEST_F(ServerTest, StreamsArriveWhole) {
  httplib::Client client("127.0.0.1", server_.port());
  const auto response = client.Get("/lines");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "one\ntwo\nthree\n");
  EXPECT_EQ(response->get_header_value("Transfer-Encoding"), "chunked");
}

TEST_F(ServerTest, APortIsTakenOnlyOnce) {
  const int port = server_.port();
  EXPECT_NE(message_of<IoError>([port] { HttpServer again(port); }).find(concat("port ", port)),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
