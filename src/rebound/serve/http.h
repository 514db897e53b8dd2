// Requests and answers of the explorer as plain data, so that every route is a function of one to
// the other and can be tested without a socket; server.h puts them on the wire.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "rebound/base/json.h"

namespace rebound {

struct HttpRequest {
  std::string method = "GET";
  std::string path = "/";                      // percent-decoded, without the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  // "" where the header is not there.
  const std::string& header(const std::string& name) const;
};

// Sends a piece; false when the reader is gone or the server ends.
using WriteText = std::function<bool(std::string_view text)>;

struct HttpResponse {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::map<std::string, std::string> headers;
  // In place of `body`: called once, writes the body piece by piece.
  std::function<void(const WriteText& write)> stream;
};

HttpResponse json_response(const Json& json);
// One line for people: where, what was got, what was expected.
HttpResponse text_response(int status, const std::string& text);
// JSON on one line; bytes that are no UTF-8 become U+FFFD.
std::string json_line(const Json& json);

}  // namespace rebound
