// A table as data, and how each format prints one.
#pragma once

#include <string>
#include <vector>

namespace rebound {

struct Column {
  std::string title;
  bool is_number = false;  // set to the right
};

struct Table {
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
  std::string note = {};  // one line below
};

// Aligned columns, indented by two; cells of the first column are cut so that lines stay within
// `width` columns. Tables given together share their column widths.
std::string text_tables(const std::vector<Table>& tables, size_t width);
std::string markdown_table(const Table& table);
// Title and note outside: <table> with a caption. Every cell is escaped.
std::string html_table(const Table& table);

}  // namespace rebound
