#include "rebound/report/terminal_table.h"

#include <algorithm>
#include <array>

#include "rebound/base/error.h"
#include "rebound/report/figure.h"

namespace rebound {
namespace {

constexpr size_t kBarGap = 2, kStackedBelow = 64, kLeastNameWidth = 32;
constexpr std::array<const char*, 4> kFirstToGo = {"s/prompt", "norm", "degenerate", "base-like"};

struct BarLayout {
  std::vector<size_t> columns;  // shown; the first is the name
  std::vector<size_t> widths;   // of all columns
  size_t bar = 0;
  std::vector<std::string> left_out;

  size_t beside_the_name() const {
    size_t sum = kBarGap + kBarGap + bar;
    for (size_t i = 1; i < columns.size(); ++i) sum += kBarGap + widths[columns[i]];
    return sum;
  }
};

size_t columns_of_bar(const TerminalStyle& style) {
  return style.width >= 120 ? 20 : style.width >= 100 ? 16 : 10;
}

std::vector<Table> spoken_tables(const std::vector<Table>& tables, const TerminalStyle& style) {
  std::vector<Table> copies = tables;
  for (Table& table : copies) {
    table.title = spoken(table.title, style);
    for (Column& column : table.columns) column.title = spoken(column.title, style);
    for (auto& row : table.rows) {
      for (std::string& cell : row) cell = spoken(cell, style);
    }
  }
  return copies;
}

void leave_out(const std::string& title, const Table& table, BarLayout& layout) {
  for (size_t i = 1; i < layout.columns.size(); ++i) {
    if (table.columns[layout.columns[i]].title != title) continue;
    layout.left_out.push_back(title);
    layout.columns.erase(layout.columns.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}

BarLayout bar_layout(const std::vector<Table>& tables, const TerminalStyle& style) {
  const std::vector<Column>& columns = tables.front().columns;
  BarLayout layout{.columns = {},
                   .widths = std::vector<size_t>(columns.size(), 0),
                   .bar = columns_of_bar(style),
                   .left_out = {}};
  for (size_t c = 0; c < columns.size(); ++c) {
    layout.columns.push_back(c);
    if (c > 0) layout.widths[c] = display_width(columns[c].title);
  }
  for (const Table& table : tables) {
    layout.widths[0] = std::max(layout.widths[0], display_width(table.title));
    for (const auto& row : table.rows) {
      for (size_t c = 0; c < row.size(); ++c)
        layout.widths[c] = std::max(layout.widths[c], display_width(row[c]));
    }
  }
  const size_t least = std::min(layout.widths[0], kLeastNameWidth);
  for (const char* title : kFirstToGo) {
    if (layout.beside_the_name() + least <= style.width) break;
    leave_out(title, tables.front(), layout);
  }
  const size_t rest = layout.beside_the_name();
  layout.widths[0] = std::min(layout.widths[0], style.width > rest ? style.width - rest : 1);
  return layout;
}

std::string bar_header(const Table& table, const BarLayout& layout, const TerminalStyle& style) {
  std::string line =
      filled_up(fit(table.title, kBarGap + layout.widths[0]), kBarGap + layout.widths[0]) +
      std::string(kBarGap, ' ') + filled_up(spoken("0 – 100 %", style), layout.bar);
  for (size_t i = 1; i < layout.columns.size(); ++i) {
    const size_t c = layout.columns[i];
    line += std::string(kBarGap, ' ') +
            filled_up(table.columns[c].title, layout.widths[c], table.columns[c].is_number);
  }
  return painted(ascii_if_wished(line, style), Paint::kBold, style) + "\n";
}

std::string marked_name(const Table& table, size_t r, size_t width, const TerminalStyle& style) {
  const bool is_marked = table.marked == r;
  const std::string name =
      spoken(is_marked ? "▸ " : "  ", style) + filled_up(fit(table.rows[r][0], width), width);
  return painted(ascii_if_wished(name, style), is_marked ? Paint::kBold : Paint::kNone, style);
}

std::string bar_line(const Table& table,
                     size_t r,
                     const BarLayout& layout,
                     const TerminalStyle& style) {
  std::string line = marked_name(table, r, layout.widths[0], style) + std::string(kBarGap, ' ') +
                     interval_bar(table.bars[r], layout.bar, style);
  for (size_t i = 1; i < layout.columns.size(); ++i) {
    const size_t c = layout.columns[i];
    line += std::string(kBarGap, ' ') +
            filled_up(table.rows[r][c], layout.widths[c], table.columns[c].is_number);
  }
  return line + "\n";
}

std::string stacked_row(const Table& table, size_t r, const TerminalStyle& style) {
  constexpr size_t kShortBar = 8;
  const std::vector<std::string>& cells = table.rows[r];
  std::string text = marked_name(table, r, style.width - kBarGap, style);
  text.erase(text.find_last_not_of(' ') + 1);
  text += "\n    " + interval_bar(table.bars[r], kShortBar, style) + "  " + cells[1];
  std::vector<std::string> figures;
  const size_t columns = 4 + kShortBar + 4 + display_width(cells[1]) + display_width(cells[2]);
  if (columns <= style.width) {
    text += "  " + cells[2];
  } else {
    figures.push_back(cells[2]);
  }
  text += "\n";
  for (size_t c = 3; c < cells.size(); ++c) {
    if (cells[c] != spoken("–", style)) figures.push_back(table.columns[c].title + " " + cells[c]);
  }
  return text + flow(figures, "    ", style);
}

}  // namespace

std::string bar_tables(const std::vector<Table>& given, const TerminalStyle& style) {
  const std::vector<Table> tables = spoken_tables(given, style);
  const bool is_stacked = style.width < kStackedBelow;
  const BarLayout layout = bar_layout(tables, style);
  std::string text;
  for (const Table& table : tables) {
    text += is_stacked ? painted(table.title, Paint::kBold, style) + "\n"
                       : bar_header(table, layout, style);
    for (size_t r = 0; r < table.rows.size(); ++r) {
      text += is_stacked ? stacked_row(table, r, style) : bar_line(table, r, layout, style);
    }
    text += "\n";
  }
  if (is_stacked || layout.left_out.empty()) return text;
  std::string names;
  for (const std::string& title : layout.left_out) names += (names.empty() ? "" : ", ") + title;
  return text + paragraph(concat("Left out at this width: ", names, "."), "  ", style);
}

std::string bar_legend(const TerminalStyle& style) {
  const std::string text =
      style.is_ascii
          ? "Bars: # below the 95 % interval, = up to the share found, - up to the interval's end."
          : "Bars: █ below the 95 % interval, ▓ up to the share found, ░ up to the interval's end.";
  // The shades themselves are not words, and have an ASCII of their own.
  return paragraph(text, "  ", style);
}

}  // namespace rebound
