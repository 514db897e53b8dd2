// Numbers and strings as a reader sees them, and what each output format must escape.
#pragma once

#include <cstdint>
#include <string>

#include "rebound/base/json.h"

namespace rebound {

// Three significant digits; "–" where not measured.
std::string show(double value);
std::string percent(double share);                      // "97 %"; "99.7 %" near the ends
std::string percent_interval(double low, double high);  // "[93 %, 100 %]"
std::string count_of(int64_t successes, int64_t n);     // "20/21"
// One line for any JSON value. {"value","ci_low","ci_high"} reads "1.07 [0.9, 1.2]" and
// {"recovered","n"} or {"recovered","n_valid"} "20/21 (95 %) [77 %, 99 %]"; an edit of features
// "features 3, 8 set to -5 where active".
std::string show_json(const Json& value);
// True for what show_json gives a reading of its own, so that nobody need take it apart.
bool is_one_figure(const Json& value);

// "minimal_budget" -> "minimal budget"
std::string words(const std::string& key);
// Columns on a terminal, one per code point.
size_t display_width(const std::string& text);
// Cut in the middle with "…" to at most `columns`.
std::string fit(const std::string& text, size_t columns);
// Control characters become spaces, so that no text can steer a terminal or break a table line.
std::string plain(const std::string& text);

std::string escape_html(const std::string& text);
std::string escape_markdown(const std::string& text);
std::string escape_csv(const std::string& text);
// JSON that may stand inside <script>: no "<", ">" or "&" in it.
std::string json_for_script(const Json& json);

}  // namespace rebound
