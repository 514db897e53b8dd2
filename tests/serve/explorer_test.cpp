#include "rebound/serve/explorer.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "serve/run_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

ExplorerOptions options_for(const fs::path& runs) {
  return {.runs = runs,
          .program = "/bin/true",
          .bench = {.model = "/no/such/model.gguf", .saes = {}},
          .gate = test_gate()};
}

// A finished run, one that stopped, and a folder beside the runs.
fs::path some_runs(const std::string& name) {
  const fs::path root = fresh_folder(name);
  make_finished_run(root / "runs" / "done & dusted");
  make_going_run(root / "runs" / "half");
  make_finished_run(root / "secret");
  return root / "runs";
}

TEST(ExplorerTest, ThePageAndItsPartsAreServedUnderAStrictPolicy) {
  Explorer explorer(options_for(some_runs("page")));
  const HttpResponse page = explorer.handle(request_to("/"));
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.type, "text/html; charset=utf-8");
  const std::string& policy = page.headers.at("Content-Security-Policy");
  for (const char* part : {"default-src 'none'",
                           "script-src 'self'",
                           "frame-ancestors 'none'",
                           "form-action 'none'"}) {
    EXPECT_NE(policy.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(page.headers.at("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(page.headers.at("Referrer-Policy"), "no-referrer");
  EXPECT_NE(explorer.handle(request_to("/explorer.css")).body.find("--paper"), std::string::npos);
  EXPECT_NE(explorer.handle(request_to("/explorer.js")).body.find("api/runs"), std::string::npos);
  const HttpResponse moved = explorer.handle(request_to(""));
  EXPECT_EQ(moved.status, 308);
  EXPECT_EQ(moved.headers.at("Location"), "/" + kToken + "/");
}

TEST(ExplorerTest, NothingIsAnsweredWithoutTheToken) {
  Explorer explorer(options_for(some_runs("token")));
  for (const char* path : {"/", "/api/runs", "/runs/half/report", "/explorer.js", "/favicon.ico"}) {
    HttpRequest request = request_to("");
    request.path = path;
    const HttpResponse refused = explorer.handle(request);
    EXPECT_EQ(refused.status, 403) << path;
    EXPECT_EQ(refused.body.find("half"), std::string::npos);
    EXPECT_EQ(refused.headers.at("X-Content-Type-Options"), "nosniff");
    EXPECT_TRUE(explorer.refusal(request)) << path;
  }
}

TEST(ExplorerTest, RunsAreListedAndDescribed) {
  Explorer explorer(options_for(some_runs("list")));
  const HttpResponse list = explorer.handle(request_to("/api/runs"));
  EXPECT_EQ(list.type, "application/json");
  EXPECT_EQ(parse_json(list.body, "list")["runs"].size(), 2u);
  const HttpResponse run = explorer.handle(request_to("/api/runs/half"));
  EXPECT_EQ(parse_json(run.body, "run")["rows"][0]["recovered"], 2);
}

TEST(ExplorerTest, ReportsAreRedactedUnlessTextsAreAskedFor) {
  const fs::path runs = some_runs("report");
  Explorer explorer(options_for(runs));
  const HttpResponse report = explorer.handle(request_to("/runs/done & dusted/report"));
  ASSERT_EQ(report.status, 200) << report.body;
  EXPECT_NE(report.body.find("non-specific"), std::string::npos);
  EXPECT_EQ(report.body.find("secret prompt"), std::string::npos);
  EXPECT_NE(report.headers.at("Content-Security-Policy").find("sandbox"), std::string::npos);
  ExplorerOptions shown = options_for(runs);
  shown.show_text = true;
  EXPECT_NE(
      Explorer(shown).handle(request_to("/runs/done & dusted/report")).body.find("secret prompt"),
      std::string::npos);
  EXPECT_EQ(explorer.handle(request_to("/runs/half/report")).status, 404);
}

TEST(ExplorerTest, PathsLeadNowhereElse) {
  Explorer explorer(options_for(some_runs("paths")));
  for (const char* rest : {"/runs/../secret/report",
                           "/runs/..%2fsecret/report",
                           "/runs//report",
                           "/runs/./report",
                           "/runs/half/",
                           "/runs/half/report/",
                           "/runs/half/run.sqlite",
                           "/runs/half/report/../run.sqlite",
                           "/api/runs/",
                           "/api/runs/..",
                           "/api/runs/../../secret",
                           "/api",
                           "/api/runs/half/rows",
                           "//",
                           "/explorer.js/",
                           "/EXPLORER.JS",
                           "/page.css",
                           "/.serve/half.json",
                           "/api/audits",
                           "/api/bench/features"}) {
    EXPECT_EQ(explorer.handle(request_to(rest)).status, 404) << rest;
  }
  EXPECT_EQ(explorer.handle(request_to(std::string("/runs/half\0/report", 18))).status, 404);
}

TEST(ExplorerTest, AMissingModelIsToldAndTheRestGoesOn) {
  Explorer explorer(options_for(some_runs("model")));
  const auto status = [&] {
    return parse_json(explorer.handle(request_to("/api/bench")).body, "bench");
  };
  EXPECT_EQ(status()["state"], "not loaded");
  const HttpResponse failed =
      explorer.handle(post_to("/api/bench/features", R"({"prompt": "a b"})"));
  EXPECT_EQ(failed.status, 503);
  EXPECT_NE(failed.body.find("/no/such/model.gguf"), std::string::npos) << failed.body;
  EXPECT_EQ(status()["state"], "failed");
  EXPECT_NE(status()["note"].get<std::string>().find("/no/such/model.gguf"), std::string::npos);
  EXPECT_EQ(explorer.handle(post_to("/api/bench/generate", R"({"prompt": "a b"})")).status, 503)
      << "the seat was given back";
  EXPECT_EQ(explorer.handle(request_to("/api/runs")).status, 200);
}

TEST(ExplorerTest, BadBodiesAreRefused) {
  Explorer explorer(options_for(some_runs("bodies")));
  for (const char* body : {"",
                           "{",
                           "[]",
                           "3",
                           "{\"prompt\": 3}",
                           "{\"prompt\": \"\"}",
                           "{\"prompt\": \"a\", \"x\": 1}",
                           "{\"prompt\": \"a\", \"max_new_tokens\": 100000}",
                           "{\"prompt\": \"\xff\"}"}) {
    const int status = explorer.handle(post_to("/api/bench/next", body)).status;
    EXPECT_TRUE(status == 400 || status == 422) << status << ": " << body;
  }
  EXPECT_EQ(explorer.handle(post_to("/api/bench/surprise", "{\"prompt\": \"a\"}")).status, 404);
  EXPECT_EQ(explorer.handle(post_to("/api/audits", R"({"behaviour": "nonsense"})")).status, 400);
  EXPECT_EQ(
      explorer.handle(post_to("/api/audits", R"({"behaviour": "ioi", "name": "../x"})")).status,
      400);
  EXPECT_EQ(explorer.handle(post_to("/api/audits/half/stop", "{}")).status, 404)
      << "not started here";
}

TEST(ExplorerTest, AnAuditIsStartedIntoTheFolder) {
  const fs::path runs = some_runs("start");
  Explorer explorer(options_for(runs));
  const HttpResponse started =
      explorer.handle(post_to("/api/audits", R"({"behaviour": "toy-leaky", "name": "toy-1"})"));
  ASSERT_EQ(started.status, 200) << started.body;
  EXPECT_EQ(parse_json(started.body, "started")["name"], "toy-1");
  const Json spec = read_json_file(runs / ".serve" / "toy-1.json");
  EXPECT_EQ(spec["behaviour"]["kind"], "toy-leaky");
  EXPECT_EQ(parse_json(explorer.handle(request_to("/api/runs")).body, "list")["jobs"][0]["name"],
            "toy-1");
  explorer.stop();
}

TEST(ExplorerTest, TooManyRequestsWait) {
  ExplorerOptions options = options_for(some_runs("rate"));
  options.gate.burst = 2;
  Explorer explorer(options);
  EXPECT_EQ(explorer.handle(request_to("/api/bench")).status, 200);
  EXPECT_EQ(explorer.handle(request_to("/api/bench")).status, 200);
  const HttpResponse refused = explorer.handle(request_to("/api/bench"));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
}

TEST(JobSlotTest, OneSeatThatComesBack) {
  JobSlot slot;
  JobSlot::Seat first = slot.take();
  EXPECT_TRUE(first);
  JobSlot::Seat copy = first;
  EXPECT_FALSE(slot.take());
  first.reset();
  EXPECT_FALSE(slot.take()) << "a copy is still held";
  copy.reset();
  EXPECT_TRUE(slot.take());
}

}  // namespace
}  // namespace rebound
