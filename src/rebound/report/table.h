// A table as data, and how each format prints one.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace rebound {

struct Column {
  std::string title;
  bool is_number = false;  // set to the right
};

// A share with its interval, drawn from 0 to 1; NaN where it was not measured.
struct RateBar {
  double rate = 0, low = 0, high = 0;
  bool is_attack = true;
};

struct Table {
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
  std::string note = {};  // one line below
  // For the page alone: a drawn column before column `bar_at`, one bar a row or none at all, and
  // the row that is set off with the words `mark`.
  std::vector<RateBar> bars = {};
  size_t bar_at = 0;
  std::optional<size_t> marked = {};
  std::string mark = {};
};

// Without the columns in which no row has a figure.
Table without_empty_columns(const Table& table);

// Aligned columns, indented by two; cells of the first column are cut so that lines stay within
// `width` columns. Tables given together share their column widths.
std::string text_tables(const std::vector<Table>& tables, size_t width);
std::string markdown_table(const Table& table);
// Title and note outside: <table> with a caption, named `label` for those who scroll it by
// keyboard. Every cell is escaped; titles and names that the glossary knows are linked to it.
std::string html_table(const Table& table, const std::string& label);

}  // namespace rebound
