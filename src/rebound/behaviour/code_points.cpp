#include "rebound/behaviour/code_points.h"

namespace rebound {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

struct Decoded {
  char32_t value = kReplacement;
  size_t bytes = 1;
};

// Bytes of the sequence that starts with `lead`; 0: no lead byte.
size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  return lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
}

bool is_scalar(char32_t value, size_t bytes) {
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  return value >= kSmallest[bytes] && value <= 0x10FFFF && !(value >= 0xD800 && value < 0xE000);
}

Decoded decode(std::string_view rest) {
  const auto lead = static_cast<unsigned char>(rest[0]);
  const size_t bytes = sequence_length(lead);
  if (bytes == 0 || bytes > rest.size()) return {};
  if (bytes == 1) return {lead, 1};
  char32_t value = lead & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(rest[i]);
    if ((next & 0xC0) != 0x80) return {};
    value = (value << 6) | (next & 0x3F);
  }
  return is_scalar(value, bytes) ? Decoded{value, bytes} : Decoded{};
}

char32_t straightened(char32_t c) {
  if (c == 0x2018 || c == 0x2019 || c == 0x02BC || c == 0x2032) return '\'';
  if (c == 0x201C || c == 0x201D) return '"';
  return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

}  // namespace

std::u32string code_points_of(std::string_view utf8) {
  std::u32string text;
  text.reserve(utf8.size());
  while (!utf8.empty()) {
    const Decoded next = decode(utf8);
    text += next.value;
    utf8.remove_prefix(next.bytes);
  }
  return text;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::u32string normalised(std::u32string_view text) {
  std::u32string out;
  bool is_gap = false;
  for (const char32_t c : text) {
    if (is_space(c)) {
      is_gap = !out.empty();
      continue;
    }
    if (is_gap) out += ' ';
    is_gap = false;
    out += straightened(c);
  }
  return out;
}

}  // namespace rebound
