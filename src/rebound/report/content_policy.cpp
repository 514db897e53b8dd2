#include "rebound/report/content_policy.h"

#include <cstdint>

#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

uint32_t digit(char c) {
  require<DataError>((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'),
                     "hash: got '",
                     c,
                     "', expected a hex digit");
  return static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
}

std::string source_of(std::string_view text) {
  return "'sha256-" + base64_of_hex(sha256_of_text(text)) + "'";
}

}  // namespace

std::string base64_of_hex(const std::string& hex) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < hex.size(); i += 6) {
    uint32_t bits = 0;
    size_t n = 0;
    for (; n < 6 && i + n < hex.size(); ++n) bits = bits << 4 | digit(hex[i + n]);
    bits <<= 4 * (6 - n);
    for (size_t k = 0; k < 4; ++k) {
      const bool is_there = 3 * k < 2 * n;  // 4 bits a digit, 6 a letter
      text += is_there ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

std::string content_policy(const std::vector<std::string_view>& scripts, std::string_view style) {
  std::string sources;
  for (const std::string_view script : scripts) sources += " " + source_of(script);
  return "default-src 'none'; script-src" + sources + "; style-src " + source_of(style) +
         "; base-uri 'none'; form-action 'none'";
}

}  // namespace rebound
