#include "rebound/serve/http.h"

namespace rebound {

const std::string& HttpRequest::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

std::string json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

HttpResponse json_response(const Json& json) {
  return {.type = "application/json", .body = json_line(json)};
}

HttpResponse text_response(int status, const std::string& text) {
  return {.status = status, .body = text + "\n"};
}

}  // namespace rebound
