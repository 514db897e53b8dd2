// Who may ask: everything that is checked of a request before a route sees it.
//
//   Host     127.0.0.1:PORT or localhost:PORT, so that no foreign name that resolves here (DNS
//            rebinding) reaches the server
//   method   GET, HEAD, POST
//   path     /TOKEN/..., compared in constant time. The token stands in the path and not in a
//            cookie: browsers send cookies of 127.0.0.1 to every port of the machine
//   POST     JSON of a known, bounded length, from a page of this server where the browser says so.
//            No CORS header is ever sent
//
// Each refusal is one line of text with its status.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "rebound/serve/http.h"

namespace rebound {

struct GateOptions {
  std::string token;
  int port = 0;
  size_t body_bytes = 64 * 1024;
  double requests_per_second = 50;           // on average; 429 beyond
  double burst = 100;                        // at once
  std::function<double()> now_seconds = {};  // a steady clock; empty: the machine's
};

// 64 hex digits from the system's source of randomness. IoError when it has none.
std::string random_token();

class Gate {
 public:
  explicit Gate(GateOptions options);

  // The refusal of a request by its first line and headers alone.
  std::optional<HttpResponse> refusal(const HttpRequest& request) const;
  // 429 when requests come too fast; counts this one.
  std::optional<HttpResponse> refusal_by_rate();

  // What stands behind the token of a path that `refusal` let pass: "/api/runs", "" without a
  // slash.
  std::string rest_of(const std::string& path) const;

 private:
  bool is_own_host(const std::string& host) const;
  bool has_token(const std::string& path) const;
  std::optional<HttpResponse> refusal_of_post(const HttpRequest& request) const;

  GateOptions options_;
  std::mutex mutex_;
  double allowance_;
  double last_seconds_;
};

}  // namespace rebound
