#include "rebound/serve/server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr const char* kHost = "127.0.0.1";
constexpr size_t kRequestsPerConnection = 1000;
constexpr time_t kReadSeconds = 5;

// Without SO_REUSEPORT, which cpp-httplib sets by itself: with it another process of this user
// could listen on the same port and be given some of the requests.
void set_socket_options(int socket) {
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return text;
}

// Headers that come twice are joined, so that no check is passed by the first of two.
HttpRequest request_of(const httplib::Request& wire) {
  HttpRequest request{.method = wire.method, .path = wire.path, .body = wire.body};
  for (const auto& [name, value] : wire.headers) {
    std::string& all = request.headers[lower_case(name)];
    all += (all.empty() ? "" : ", ") + value;
  }
  return request;
}

void put_response(HttpResponse response, httplib::Response& wire) {
  wire.status = response.status;
  for (const auto& [name, value] : response.headers) wire.set_header(name, value);
  if (!response.stream) {
    wire.set_content(std::move(response.body), response.type);
    return;
  }
  wire.set_chunked_content_provider(
      response.type, [stream = std::move(response.stream)](size_t, httplib::DataSink& sink) {
        stream([&sink](std::string_view text) { return sink.write(text.data(), text.size()); });
        sink.done();
        return true;
      });
}

}  // namespace

struct HttpServer::State {
  httplib::Server server;
  std::atomic<bool> is_serving{false}, is_stopping{false};
};

HttpServer::HttpServer(int port) : state_(std::make_unique<State>()) {
  httplib::Server& server = state_->server;
  server.set_socket_options(set_socket_options);
  server.set_address_family(AF_INET);
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(kRequestsPerConnection);
  server.set_read_timeout(kReadSeconds);
  if (port == 0) {
    port_ = server.bind_to_any_port(kHost);
    require<IoError>(port_ > 0, "cannot listen on ", kHost);
    return;
  }
  require<IoError>(server.bind_to_port(kHost, port),
                   "--port: cannot listen on port ",
                   port,
                   "; it is taken or not allowed, choose another or leave --port out");
  port_ = port;
}

HttpServer::~HttpServer() = default;

void HttpServer::run(const Handlers& handlers) {
  httplib::Server& server = state_->server;
  server.set_payload_max_length(handlers.body_bytes);
  server.set_pre_routing_handler([&](const httplib::Request& wire, httplib::Response& answer) {
    std::optional<HttpResponse> refused = handlers.refusal(request_of(wire));
    if (!refused) return httplib::Server::HandlerResponse::Unhandled;
    put_response(std::move(*refused), answer);
    return httplib::Server::HandlerResponse::Handled;
  });
  const httplib::Server::Handler handle = [&](const httplib::Request& wire,
                                              httplib::Response& answer) {
    put_response(handlers.handle(request_of(wire)), answer);
  };
  server.Get(".*", handle);
  server.Post(".*", handle);
  state_->is_serving = true;
  if (!state_->is_stopping) server.listen_after_bind();
  state_->is_serving = false;
}

// cpp-httplib takes no notice of a stop before it listens.
void HttpServer::stop() {
  state_->is_stopping = true;
  while (state_->is_serving && !state_->server.is_running()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  state_->server.stop();
}

}  // namespace rebound
