#include "rebound/report/table.h"

#include <algorithm>
#include <numeric>

#include "rebound/report/figure.h"

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

std::string html_cell(const std::string& tag, const std::string& text, const Column& column) {
  const std::string inner = escape_html(text);
  const std::string style = column.is_number ? " class=\"n\"" : "";
  return "<" + tag + style + ">" + (column.is_number ? inner : breakable(inner)) + "</" +
         tag.substr(0, 2) + ">";
}

}  // namespace

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

std::string html_table(const Table& table) {
  std::string html = "<div class=\"scroll\"><table>";
  if (!table.title.empty()) html += "<caption>" + escape_html(table.title) + "</caption>";
  html += "<thead><tr>";
  for (const Column& column : table.columns) {
    html += html_cell("th scope=\"col\"", column.title, column);
  }
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) html += html_cell("td", row[c], table.columns[c]);
    html += "</tr>\n";
  }
  html += "</tbody></table></div>\n";
  if (!table.note.empty()) html += "<p class=\"note\">" + escape_html(table.note) + "</p>\n";
  return html;
}

}  // namespace rebound
