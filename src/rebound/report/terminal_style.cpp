#include "rebound/report/terminal_style.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string_view>

#include "rebound/report/figure.h"

namespace rebound {
namespace {

struct AsciiSign {
  std::string_view sign, ascii;
};
constexpr std::array<AsciiSign, 16> kAsciiSigns = {{{"–", "-"},
                                                    {"—", "-"},
                                                    {"…", "~"},
                                                    {"·", "-"},
                                                    {"→", "->"},
                                                    {"∞", "inf"},
                                                    {"✓", "+"},
                                                    {"✗", "x"},
                                                    {"▸", ">"},
                                                    {"“", "\""},
                                                    {"”", "\""},
                                                    {"’", "'"},
                                                    {"≤", "<="},
                                                    {"≥", ">="},
                                                    {"×", "x"},
                                                    {"−", "-"}}};

constexpr std::array<const char*, 8> kHeights = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<const char*, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
constexpr std::string_view kAsciiHeights = "_.-=+*#@";

bool is_inside_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Bytes of the first `columns` code points.
size_t bytes_of_columns(const std::string& text, size_t columns) {
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    if (!is_inside_code_point(text[end]) && seen++ == columns) break;
  }
  return end;
}

std::string repeated(const std::string& sign, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += sign;
  return text;
}

const char* code_of(Paint paint) {
  switch (paint) {
    case Paint::kBold:
      return "1";
    case Paint::kFaint:
      return "2";
    case Paint::kAttack:
      return "36";
    case Paint::kControl:
    case Paint::kCaution:
      return "33";
    case Paint::kGood:
      return "32";
    case Paint::kBad:
      return "31";
    default:
      return nullptr;
  }
}

// Lines made of pieces; a piece longer than a line is broken.
std::string laid_out(const std::vector<std::string>& pieces,
                     const std::string& gap,
                     const std::string& indent,
                     size_t width) {
  const size_t room = width > indent.size() + 8 ? width - indent.size() : 8;
  std::string line, out;
  const auto end_line = [&] {
    if (!line.empty()) out += indent + line + "\n";
    line.clear();
  };
  for (std::string piece : pieces) {
    const bool fits = display_width(line) + gap.size() + display_width(piece) <= room;
    if (!line.empty() && !fits) end_line();
    while (display_width(piece) > room) {
      const size_t bytes = bytes_of_columns(piece, room);
      line = piece.substr(0, bytes);
      end_line();
      piece.erase(0, bytes);
    }
    if (!piece.empty()) line += (line.empty() ? "" : gap) + piece;
  }
  end_line();
  return out;
}

}  // namespace

TerminalStyle TerminalStyle::within_limits() const {
  TerminalStyle style = *this;
  style.width = std::clamp(width, kNarrowest, kWidest);
  return style;
}

std::string painted(const std::string& text, Paint paint, const TerminalStyle& style) {
  const char* code = code_of(paint);
  if (!style.has_color || !code || text.empty()) return text;
  return std::string("\x1b[") + code + "m" + text + "\x1b[0m";
}

std::string ascii_if_wished(const std::string& text, const TerminalStyle& style) {
  if (!style.is_ascii) return text;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      out += text[at];
    } else {
      while (end < text.size() && is_inside_code_point(text[end])) ++end;
      const std::string_view sign(text.data() + at, end - at);
      const auto* known = std::find_if(
          kAsciiSigns.begin(), kAsciiSigns.end(), [&](const auto& of) { return of.sign == sign; });
      out += known == kAsciiSigns.end() ? "?" : known->ascii;
    }
    at = end;
  }
  return out;
}

std::string spoken(const std::string& text, const TerminalStyle& style) {
  return ascii_if_wished(plain(text), style);
}

std::string filled_up(const std::string& text, size_t columns, bool to_the_right) {
  const std::string space(columns - std::min(columns, display_width(text)), ' ');
  return to_the_right ? space + text : text + space;
}

std::string paragraph(const std::string& text,
                      const std::string& indent,
                      const TerminalStyle& style) {
  std::istringstream in(spoken(text, style));
  std::vector<std::string> pieces;
  for (std::string word; in >> word;) pieces.push_back(word);
  return laid_out(pieces, " ", indent, style.width);
}

std::string flow(const std::vector<std::string>& pieces,
                 const std::string& indent,
                 const TerminalStyle& style) {
  return laid_out(pieces, "   ", indent, style.width);
}

std::string interval_bar(const RateBar& bar, size_t columns, const TerminalStyle& style) {
  if (!std::isfinite(bar.rate)) return std::string(columns, ' ');
  const double low = std::isfinite(bar.low) ? bar.low : bar.rate;
  const double high = std::isfinite(bar.high) ? bar.high : bar.rate;
  size_t solid = 0, dark = 0, light = 0;
  for (size_t i = 0; i < columns; ++i) {
    const double middle = (static_cast<double>(i) + 0.5) / static_cast<double>(columns);
    if (middle < std::min(low, bar.rate)) {
      ++solid;
    } else if (middle < bar.rate) {
      ++dark;
    } else if (middle < high) {
      ++light;
    }
  }
  const bool is_ascii = style.is_ascii;
  const std::string drawn = repeated(is_ascii ? "#" : "█", solid) +
                            repeated(is_ascii ? "=" : "▓", dark) +
                            repeated(is_ascii ? "-" : "░", light);
  const std::string rail = repeated(is_ascii ? "." : "·", columns - solid - dark - light);
  return painted(drawn, bar.is_attack ? Paint::kAttack : Paint::kControl, style) +
         painted(rail, Paint::kFaint, style);
}

std::string length_bar(double share, size_t columns, const TerminalStyle& style) {
  if (!std::isfinite(share)) return std::string(columns, ' ');
  const double length = std::clamp(share, 0.0, 1.0) * static_cast<double>(columns);
  const auto eighths = static_cast<size_t>(std::lround(8 * length));
  if (style.is_ascii)
    return filled_up(std::string(static_cast<size_t>(std::lround(length)), '#'), columns);
  return filled_up(repeated("█", eighths / 8) + kEighths[eighths % 8], columns);
}

std::string sparkline(const std::vector<double>& values, const TerminalStyle& style) {
  double largest = 0;
  for (const double value : values) {
    if (std::isfinite(value)) largest = std::max(largest, value);
  }
  std::string line;
  for (const double value : values) {
    if (!std::isfinite(value) || value <= 0) {
      line += ' ';
      continue;
    }
    const auto step = std::min<size_t>(7, static_cast<size_t>(8 * value / largest));
    if (style.is_ascii) {
      line += kAsciiHeights[step];
    } else {
      line += kHeights[step];
    }
  }
  return line;
}

}  // namespace rebound
