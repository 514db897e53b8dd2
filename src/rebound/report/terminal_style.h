// Words, colours and bars as a terminal shows them.
//
// Text that comes from a file goes through spoken(), which leaves nothing in it that could steer a
// terminal; colours are added afterwards. Every colour is backed by a word or a sign.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/table.h"

namespace rebound {

struct TerminalStyle {
  static constexpr size_t kNarrowest = 40, kWidest = 200;

  size_t width = 100;      // columns
  bool has_color = false;  // SGR codes of the 8 colours, bold and faint
  bool is_ascii = false;   // bars and signs of ASCII alone

  TerminalStyle within_limits() const;  // width in kNarrowest .. kWidest
};

enum class Paint { kNone, kBold, kFaint, kAttack, kControl, kGood, kBad, kCaution };
std::string painted(const std::string& text, Paint paint, const TerminalStyle& style);

// One line of plain text, in ASCII where the style wants it ("–" -> "-", "∞" -> "inf", else "?").
std::string spoken(const std::string& text, const TerminalStyle& style);
// The same of text that is laid out already: line breaks and colours stay.
std::string ascii_if_wished(const std::string& text, const TerminalStyle& style);

// Spaces behind the text, or before it, up to `columns`; longer text stays as it is.
std::string filled_up(const std::string& text, size_t columns, bool to_the_right = false);
// Lines of at most style.width columns, each behind `indent`; words that are longer are broken.
std::string paragraph(const std::string& text,
                      const std::string& indent,
                      const TerminalStyle& style);
// Pieces side by side, three spaces between them, none broken unless it alone is longer than a
// line.
std::string flow(const std::vector<std::string>& pieces,
                 const std::string& indent,
                 const TerminalStyle& style);

// From 0 to 1: solid up to the interval, dark up to the share found, light up to the interval's
// upper end. Blank where the share was not measured. Painted, `columns` wide.
std::string interval_bar(const RateBar& bar, size_t columns, const TerminalStyle& style);
// A length from 0 to 1, to an eighth of a column. Not painted, padded to `columns`.
std::string length_bar(double share, size_t columns, const TerminalStyle& style);
// One column a value, as high as its share of the largest; 0 or not measured is blank.
std::string sparkline(const std::vector<double>& values, const TerminalStyle& style);

}  // namespace rebound
