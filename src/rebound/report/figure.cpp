#include "rebound/report/figure.h"

#include <cmath>
#include <cstdio>
#include <limits>

#include "rebound/audit/summary.h"

namespace rebound {
namespace {

double figure_number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : kNotMeasured;
}

const char* count_key(const Json& object) { return object.contains("n") ? "n" : "n_valid"; }

bool is_estimate(const Json& value) { return value.is_object() && value.contains("value"); }

bool is_count(const Json& value) {
  return value.is_object() && value.contains("recovered") && value.contains(count_key(value)) &&
         value.at("recovered").is_number_integer() &&
         value.at(count_key(value)).is_number_integer();
}

std::string show_estimate(const Json& value) {
  const double low = figure_number(value, "ci_low");
  double high = figure_number(value, "ci_high");
  const std::string middle = show_json(value.at("value"));
  if (std::isnan(low) && std::isnan(high)) return middle;
  if (std::isnan(high)) high = std::numeric_limits<double>::infinity();  // JSON has no such number
  return concat(middle, " [", show(low), ", ", show(high), "]");
}

std::string show_count(const Json& value) {
  const int64_t successes = value.at("recovered").get<int64_t>();
  const int64_t n = value.at(count_key(value)).get<int64_t>();
  const double low = figure_number(value, "ci_low"), high = figure_number(value, "ci_high");
  std::string text = count_of(successes, n);
  if (n > 0)
    text += concat(" (", percent(static_cast<double>(successes) / static_cast<double>(n)), ")");
  if (!std::isnan(low)) text += " " + percent_interval(low, high);
  return text;
}

std::string show_list(const Json& list) {
  std::string text;
  for (const Json& item : list) text += (text.empty() ? "" : ", ") + show_json(item);
  return text;
}

// What FeatureEdit::to_json wrote, as {"features", "edit": {"kind", "value", "when"}, "positions"}.
bool is_edit(const Json& value) {
  if (!value.is_object() || !value.contains("features") || !value.contains("edit")) return false;
  const Json& edit = value.at("edit");
  return edit.is_object() && edit.contains("kind") && edit.contains("value");
}

std::string show_edit(const Json& value) {
  const Json& edit = value.at("edit");
  const std::string kind = show_json(edit.at("kind"));
  const std::string rule = kind == "set" ? "set to" : kind == "scale" ? "times" : "plus";
  const bool is_everywhere = edit.value("when", Json()) == "always";
  const Json positions = value.value("positions", Json("all"));
  return concat("features ",
                show_json(value.at("features")),
                " ",
                rule,
                " ",
                show_json(edit.at("value")),
                is_everywhere ? " everywhere" : " where active",
                positions == "all" ? "" : concat(", positions: ", show_json(positions)));
}

bool continues_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::string first_columns(const std::string& text, size_t columns) {
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    if (!continues_code_point(text[end]) && seen++ == columns) break;
  }
  return text.substr(0, end);
}

// Bytes of the control character at `at`, 0 where there is none: C0, C1, line and paragraph
// separators, and what turns the direction of text.
size_t bytes_of_control(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  if (byte(0) == 0xC2 && byte(1) >= 0x80 && byte(1) < 0xA0) return 2;
  if (byte(0) != 0xE2) return 0;
  const bool is_separator_or_bidi = byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE;
  const bool is_isolate = byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9;
  return is_separator_or_bidi || is_isolate ? 3 : 0;
}

template <class Replace>
std::string replaced(const std::string& text, const Replace& replacement) {
  std::string out;
  for (const char c : text) {
    const char* other = replacement(c);
    if (other)
      out += other;
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string show(double value) {
  if (std::isnan(value)) return "–";
  if (std::isinf(value)) return value > 0 ? "∞" : "-∞";
  char text[48];
  const double size = std::abs(value);
  std::snprintf(text, sizeof text, size >= 1000 && size < 1e6 ? "%.0f" : "%.3g", value);
  return text;
}

std::string percent(double share) {
  if (std::isnan(share)) return "–";
  char text[48];
  const bool is_near_an_end = (share > 0 && share < 0.005) || (share > 0.995 && share < 1);
  std::snprintf(text, sizeof text, is_near_an_end ? "%.1f %%" : "%.0f %%", 100 * share);
  return text;
}

std::string percent_interval(double low, double high) {
  if (std::isnan(low) || std::isnan(high)) return "–";
  return concat("[", percent(low), ", ", percent(high), "]");
}

std::string count_of(int64_t successes, int64_t n) { return concat(successes, "/", n); }

bool is_one_figure(const Json& value) { return is_estimate(value) || is_count(value); }

std::string show_json(const Json& value) {
  if (value.is_null()) return "–";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_float()) return show(value.get<double>());
  if (value.is_string()) return plain(value.get<std::string>());
  if (value.is_array()) return show_list(value);
  if (is_count(value)) return show_count(value);
  if (is_estimate(value)) return show_estimate(value);
  if (is_edit(value)) return show_edit(value);
  return plain(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string words(const std::string& key) {
  return replaced(plain(key), [](char c) { return c == '_' ? " " : nullptr; });
}

size_t display_width(const std::string& text) {
  size_t width = 0;
  for (const char c : text) width += !continues_code_point(c);
  return width;
}

std::string fit(const std::string& text, size_t columns) {
  const size_t width = display_width(text);
  if (width <= columns) return text;
  const size_t tail = (columns - 1) / 2, head = columns - 1 - tail;
  const std::string front = first_columns(text, width - tail);
  return first_columns(text, head) + "…" + text.substr(front.size());
}

std::string plain(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = bytes_of_control(text, at);
    out += bytes ? ' ' : text[at];
    at += bytes ? bytes : 1;
  }
  return out;
}

std::string escape_html(const std::string& text) {
  return replaced(text, [](char c) {
    return c == '<'    ? "&lt;"
           : c == '>'  ? "&gt;"
           : c == '&'  ? "&amp;"
           : c == '"'  ? "&quot;"
           : c == '\'' ? "&#39;"
                       : nullptr;
  });
}

std::string escape_markdown(const std::string& text) {
  return replaced(plain(text), [](char c) {
    return c == '|'    ? "\\|"
           : c == '<'  ? "&lt;"
           : c == '&'  ? "&amp;"
           : c == '`'  ? "\\`"
           : c == '*'  ? "\\*"
           : c == '['  ? "\\["
           : c == '\\' ? "\\\\"
                       : nullptr;
  });
}

std::string escape_csv(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return "\"" + replaced(text, [](char c) { return c == '"' ? "\"\"" : nullptr; }) + "\"";
}

std::string json_for_script(const Json& json) {
  return replaced(json.dump(-1, ' ', true, Json::error_handler_t::replace), [](char c) {
    return c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : c == '&' ? "\\u0026" : nullptr;
  });
}

}  // namespace rebound
