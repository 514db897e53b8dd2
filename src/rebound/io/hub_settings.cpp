#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>

#include "rebound/base/error.h"
#include "rebound/io/hub_cache.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxTimeoutSeconds = 3600;

// The first of these variables that is set to something; "" without one.
std::string first_set(const Environment& variable, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = variable(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

bool is_yes(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::toupper(c));
  });
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

fs::path expanded(const std::string& path, const Environment& variable) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return first_set(variable, {"HOME"}) + path.substr(1);
}

fs::path hub_home(const Environment& variable) {
  const std::string home = first_set(variable, {"HF_HOME"});
  if (!home.empty()) return expanded(home, variable);
  const std::string cache = first_set(variable, {"XDG_CACHE_HOME"});
  return expanded(cache.empty() ? "~/.cache" : cache, variable) / "huggingface";
}

std::string word_in_file(const fs::path& path) {
  std::ifstream in(path);
  std::string word;
  in >> word;
  return word;
}

std::string token_of(const Environment& variable) {
  std::string token = first_set(variable, {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  token.erase(0, token.find_first_not_of(" \t\r\n"));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  if (token.empty() && !is_yes(first_set(variable, {"HF_HUB_DISABLE_IMPLICIT_TOKEN"}))) {
    const std::string file = first_set(variable, {"HF_TOKEN_PATH"});
    token = word_in_file(file.empty() ? hub_home(variable) / "token" : expanded(file, variable));
  }
  const bool is_word =
      std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > ' ' && c < 127; });
  require<ConfigError>(is_word,
                       "HF_TOKEN: got other than letters, digits and signs, expected one word");
  return token;
}

std::string endpoint_of(const Environment& variable) {
  std::string endpoint = first_set(variable, {"HF_ENDPOINT"});
  if (endpoint.empty()) endpoint = "https://huggingface.co";
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool is_url = endpoint.starts_with("https://") || endpoint.starts_with("http://");
  require<ConfigError>(
      is_url, "HF_ENDPOINT: got \"", endpoint, "\", expected a URL such as https://huggingface.co");
  return endpoint;
}

uint32_t timeout_of(const Environment& variable) {
  const std::string text = first_set(variable, {"HF_HUB_DOWNLOAD_TIMEOUT"});
  if (text.empty()) return HubSettings().timeout_seconds;
  const bool is_number =
      text.size() <= 4 && text.find_first_not_of("0123456789") == std::string::npos;
  const int seconds = is_number ? std::stoi(text) : 0;
  require<ConfigError>(seconds >= 1 && seconds <= kMaxTimeoutSeconds,
                       "HF_HUB_DOWNLOAD_TIMEOUT: got \"",
                       text,
                       "\", expected seconds, 1 to ",
                       kMaxTimeoutSeconds);
  return static_cast<uint32_t>(seconds);
}

}  // namespace

fs::path hub_cache(const Environment& variable) {
  const std::string cache = first_set(variable, {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  return cache.empty() ? hub_home(variable) / "hub" : expanded(cache, variable);
}

HubSettings hub_settings(const Environment& variable) {
  HubSettings settings;
  settings.cache = hub_cache(variable);
  settings.endpoint = endpoint_of(variable);
  settings.token = token_of(variable);
  settings.certificates =
      first_set(variable, {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"});
  settings.is_offline = is_yes(first_set(variable, {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  settings.timeout_seconds = timeout_of(variable);
  return settings;
}

const char* environment_variable(const char* name) { return std::getenv(name); }

}  // namespace rebound
