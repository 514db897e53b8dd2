// The words of a report and what they mean: definitions that its page shows where a word stands.
#pragma once

#include <string>
#include <vector>

namespace rebound {

struct Term {
  std::string id;                   // "drift"
  std::string name;                 // as the glossary prints it
  std::string text;                 // one or two sentences
  std::vector<std::string> labels;  // column titles and figures that it explains
};

const std::vector<Term>& glossary();
// The term that explains a label, whatever its case; null for none.
const Term* find_term(const std::string& label);
// The escaped label, linked to its term where there is one.
std::string html_label(const std::string& label);
// All terms as a definition list.
std::string html_glossary();

}  // namespace rebound
