// The files that every HTML report carries, held in the program itself.
#pragma once

#include <string_view>

namespace rebound {

struct PageFiles {
  std::string_view style;
  std::string_view script;  // the page's own, one after another
  std::string_view shared;  // the part of it that the explorer's page has, too
  std::string_view vega;
  std::string_view vega_lite;
  std::string_view vega_interpreter;
  std::string_view notices;  // licences of the three, and of D3
};

PageFiles page_files();

}  // namespace rebound
