// The explorer on a socket of 127.0.0.1, by cpp-httplib.
//
//   HttpServer server(port);            // bound from here on
//   server.run(explorer);               // until stop(), from another thread
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "rebound/serve/http.h"

namespace rebound {

class HttpServer {
 public:
  // Port 0: any free one. IoError when the port is taken.
  explicit HttpServer(int port);
  ~HttpServer();

  int port() const { return port_; }

  struct Handlers {
    // Before the body is read; nothing: go on.
    std::function<std::optional<HttpResponse>(const HttpRequest&)> refusal;
    std::function<HttpResponse(const HttpRequest&)> handle;
    size_t body_bytes = 64 * 1024;
  };
  // Serves until stop(); answers under way are finished first.
  void run(const Handlers& handlers);
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
  int port_ = 0;
};

}  // namespace rebound
