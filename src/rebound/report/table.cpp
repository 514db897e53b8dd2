#include "rebound/report/table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rebound/report/figure.h"
#include "rebound/report/glossary.h"

namespace rebound {
namespace {

constexpr size_t kGap = 2;

std::string padded(const std::string& text, size_t width, bool to_the_right) {
  const std::string space(width - std::min(width, display_width(text)), ' ');
  return to_the_right ? space + text : text + space;
}

std::vector<size_t> shared_widths(const std::vector<Table>& tables, size_t limit) {
  std::vector<size_t> widths(tables.front().columns.size(), 0);
  for (const Table& table : tables) {
    widths[0] = std::max(widths[0], display_width(table.title));
    for (size_t c = 0; c < widths.size(); ++c) {
      if (c > 0) widths[c] = std::max(widths[c], display_width(table.columns[c].title));
      for (const auto& row : table.rows) widths[c] = std::max(widths[c], display_width(row[c]));
    }
  }
  const size_t rest =
      std::accumulate(widths.begin() + 1, widths.end(), size_t{0}) + kGap * widths.size();
  widths[0] = std::min(widths[0], limit > rest ? limit - rest : 1);
  return widths;
}

std::string text_line(const std::vector<std::string>& cells,
                      const std::vector<Column>& columns,
                      const std::vector<size_t>& widths) {
  std::string line;
  for (size_t c = 0; c < cells.size(); ++c) {
    line += (c ? std::string(kGap, ' ') : "") +
            padded(fit(plain(cells[c]), widths[c]), widths[c], columns[c].is_number);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

// Lets a browser break names like encoder/logit_diff/per_prompt@20 after a slash.
std::string breakable(const std::string& escaped) {
  std::string html;
  for (const char c : escaped) html += c == '/' ? "/<wbr>" : std::string(1, c);
  return html;
}

std::string html_cell(const std::string& tag,
                      const std::string& inner,
                      const Column& column,
                      bool is_row_name = false) {
  const std::string style = column.is_number ? " class=\"n\""
                            : is_row_name    ? " class=\"name\""
                                             : "";
  return "<" + tag + style + ">" + inner + "</" + tag.substr(0, 2) + ">";
}

std::string html_text(const std::string& text, const Column& column, bool is_name) {
  if (is_name && find_term(text)) return html_label(text);
  const std::string inner = escape_html(text);
  return column.is_number ? inner : breakable(inner);
}

// 100 units wide: the interval as a line, the share as a circle (attack) or a square (control).
std::string html_bar(const RateBar& bar) {
  if (!std::isfinite(bar.rate)) return "<td class=\"bar\"></td>";
  const auto x = [](double share) { return show(4 + 92 * std::clamp(share, 0.0, 1.0)); };
  const double low = std::isfinite(bar.low) ? bar.low : bar.rate;
  const double high = std::isfinite(bar.high) ? bar.high : bar.rate;
  const std::string kind = bar.is_attack ? "attack" : "control";
  const std::string at = x(bar.rate);
  const std::string mark =
      bar.is_attack ? "<circle cx=\"" + at + "\" cy=\"8\" r=\"4\"/>"
                    : "<rect x=\"" + show(0.92 * 100 * std::clamp(bar.rate, 0.0, 1.0) + 0.5) +
                          "\" y=\"4.5\" width=\"7\" height=\"7\"/>";
  return "<td class=\"bar\"><svg class=\"" + kind +
         "\" width=\"100\" height=\"16\" aria-hidden=\"true\"><path class=\"rail\" d=\"M4 "
         "8H96\"/><path d=\"M" +
         x(low) + " 8H" + x(high) + "\"/>" + mark + "</svg></td>";
}

std::string html_header(const Table& table) {
  std::string html;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (!table.bars.empty() && c == table.bar_at)
      html += "<th scope=\"col\" class=\"bar\">0 – 100 %</th>";
    const Column& column = table.columns[c];
    html += html_cell("th scope=\"col\"", html_label(column.title), column);
  }
  return "<thead><tr>" + html + "</tr></thead>";
}

std::string html_row(const Table& table, size_t r) {
  std::string html = table.marked == r ? "<tr class=\"marked\">" : "<tr>";
  const auto is_name = [&](size_t c) {
    return table.columns[c].title == "figure" || table.columns[c].title == "control";
  };
  size_t name = 0;
  while (name + 1 < table.columns.size() && table.columns[name].is_number) ++name;
  for (size_t c = 0; c < table.rows[r].size(); ++c) {
    if (!table.bars.empty() && c == table.bar_at) html += html_bar(table.bars[r]);
    std::string inner = html_text(table.rows[r][c], table.columns[c], is_name(c));
    if (c == name && table.marked == r)
      inner += " <span class=\"tag\">" + escape_html(table.mark) + "</span>";
    html += html_cell("td", inner, table.columns[c], c == name && !table.bars.empty());
  }
  return html + "</tr>\n";
}

}  // namespace

Table without_empty_columns(const Table& table) {
  Table kept = table;
  kept.columns.clear();
  kept.rows.assign(table.rows.size(), {});
  kept.bar_at = 0;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const bool has_figure = std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
      return !row[c].empty() && row[c] != "–";
    });
    if (!has_figure) continue;
    kept.columns.push_back(table.columns[c]);
    for (size_t r = 0; r < table.rows.size(); ++r) kept.rows[r].push_back(table.rows[r][c]);
    if (c < table.bar_at) kept.bar_at = kept.columns.size();
  }
  return kept;
}

std::string text_tables(const std::vector<Table>& tables, size_t width) {
  const std::vector<size_t> widths = shared_widths(tables, width);
  std::string text;
  for (const Table& table : tables) {
    std::vector<std::string> header;
    for (const Column& column : table.columns) header.push_back(column.title);
    header[0] = table.title;
    std::vector<size_t> header_widths = widths;
    header_widths[0] += kGap;
    text += text_line(header, table.columns, header_widths);
    for (const auto& row : table.rows) {
      text += std::string(kGap, ' ') + text_line(row, table.columns, widths);
    }
    text += "\n";
  }
  return text;
}

std::string markdown_table(const Table& table) {
  std::string header = "|", rule = "|", body;
  for (const Column& column : table.columns) {
    header += " " + escape_markdown(column.title) + " |";
    rule += column.is_number ? "--:|" : ":--|";
  }
  for (const auto& row : table.rows) {
    body += "|";
    for (const std::string& cell : row) body += " " + escape_markdown(cell) + " |";
    body += "\n";
  }
  const std::string note = table.note.empty() ? "" : "\n" + escape_markdown(table.note) + "\n";
  return header + "\n" + rule + "\n" + body + note + "\n";
}

std::string html_table(const Table& table, const std::string& label) {
  std::string html = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                     escape_html("table: " + label) + "\"><table>";
  if (!table.title.empty()) html += "<caption>" + escape_html(table.title) + "</caption>";
  html += html_header(table) + "<tbody>\n";
  for (size_t r = 0; r < table.rows.size(); ++r) html += html_row(table, r);
  html += "</tbody></table></div>\n";
  if (!table.note.empty()) html += "<p class=\"note\">" + escape_html(table.note) + "</p>\n";
  return html;
}

}  // namespace rebound
