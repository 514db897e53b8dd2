#include "rebound/serve/gate.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "rebound/base/error.h"

namespace rebound {
namespace {

double steady_seconds() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Until ";" and without case, so that "Application/JSON; charset=utf-8" is JSON.
bool is_json_type(const std::string& type) {
  std::string name = type.substr(0, type.find(';'));
  while (!name.empty() && name.back() == ' ') name.pop_back();
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  return name == "application/json";
}

std::optional<size_t> length_of(const std::string& text) {
  size_t length = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, length);
  if (text.empty() || error != std::errc() || last != end) return std::nullopt;
  return length;
}

}  // namespace

std::string random_token() {
  unsigned char bytes[32];
  require<IoError>(RAND_bytes(bytes, sizeof bytes) == 1, "no random numbers to be had for a token");
  constexpr char kHex[] = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : bytes) {
    token += kHex[byte >> 4];
    token += kHex[byte & 15];
  }
  return token;
}

Gate::Gate(GateOptions options) : options_(std::move(options)) {
  require<ConfigError>(options_.token.size() >= 32,
                       "GateOptions.token: got ",
                       options_.token.size(),
                       " characters, expected at least 32");
  if (!options_.now_seconds) options_.now_seconds = steady_seconds;
  allowance_ = options_.burst;
  last_seconds_ = options_.now_seconds();
}

bool Gate::is_own_host(const std::string& host) const {
  const std::string port = concat(":", options_.port);
  return host == "127.0.0.1" + port || host == "localhost" + port;
}

bool Gate::has_token(const std::string& path) const {
  const size_t n = options_.token.size();
  const bool is_long_enough = path.size() > n && path[0] == '/';
  const bool ends_there = path.size() == n + 1 || (path.size() > n + 1 && path[n + 1] == '/');
  return is_long_enough && ends_there &&
         CRYPTO_memcmp(path.data() + 1, options_.token.data(), n) == 0;
}

std::string Gate::rest_of(const std::string& path) const {
  return path.substr(1 + options_.token.size());
}

std::optional<HttpResponse> Gate::refusal_of_post(const HttpRequest& request) const {
  const std::string& origin = request.header("origin");
  if (!origin.empty() && origin != "http://" + request.header("host"))
    return text_response(403, "Origin: expected a page of this server");
  const std::string& site = request.header("sec-fetch-site");
  if (!site.empty() && site != "same-origin" && site != "none")
    return text_response(403, "Sec-Fetch-Site: expected a page of this server");
  if (!is_json_type(request.header("content-type")))
    return text_response(415, "Content-Type: expected application/json");
  if (!request.header("content-encoding").empty())
    return text_response(415, "Content-Encoding: expected none");
  const std::optional<size_t> length = length_of(request.header("content-length"));
  if (!length || !request.header("transfer-encoding").empty())
    return text_response(411, "expected a body with a Content-Length");
  if (*length > options_.body_bytes)
    return text_response(
        413, concat("body: got ", *length, " bytes, expected at most ", options_.body_bytes));
  return std::nullopt;
}

std::optional<HttpResponse> Gate::refusal(const HttpRequest& request) const {
  if (!is_own_host(request.header("host")))
    return text_response(403, concat("Host: expected 127.0.0.1:", options_.port));
  const bool is_post = request.method == "POST";
  if (!is_post && request.method != "GET" && request.method != "HEAD") {
    HttpResponse refused = text_response(405, "method: expected GET or POST");
    refused.headers["Allow"] = "GET, HEAD, POST";
    return refused;
  }
  if (!has_token(request.path))
    return text_response(
        403, "the address lacks the token: open the address that rebound serve printed");
  return is_post ? refusal_of_post(request) : std::nullopt;
}

std::optional<HttpResponse> Gate::refusal_by_rate() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const double now = options_.now_seconds();
  allowance_ =
      std::min(options_.burst, allowance_ + (now - last_seconds_) * options_.requests_per_second);
  last_seconds_ = now;
  if (allowance_ >= 1) {
    allowance_ -= 1;
    return std::nullopt;
  }
  HttpResponse refused = text_response(429, "too many requests; try again in a second");
  refused.headers["Retry-After"] = "1";
  return refused;
}

}  // namespace rebound
