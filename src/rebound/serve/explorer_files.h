// The explorer's page, held in the program itself.
#pragma once

#include <string_view>

namespace rebound {

struct ExplorerFiles {
  std::string_view page;    // HTML
  std::string_view style;   // behind the report's own (page_files.h)
  std::string_view script;  // behind the report's shared part
};

ExplorerFiles explorer_files();

}  // namespace rebound
