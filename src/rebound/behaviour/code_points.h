// Text as Unicode code points, as Python counts it: generated text may end in the middle of a
// character, so bytes that are no UTF-8 become U+FFFD instead of an error.
#pragma once

#include <string>
#include <string_view>

namespace rebound {

std::u32string code_points_of(std::string_view utf8);

// str.isspace() of Python, for one code point.
bool is_space(char32_t c);

// What phrases are looked up in: ASCII letters lower-cased, typographic apostrophes and quotes made
// straight, white space collapsed to single spaces and trimmed.
std::u32string normalised(std::u32string_view text);

}  // namespace rebound
