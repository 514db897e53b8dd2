#include <sstream>

#include "rebound/report/figure.h"
#include "rebound/report/report.h"
#include "rebound/report/tables.h"

namespace rebound {
namespace {

constexpr size_t kWidth = 110;

std::string wrapped(const std::string& text, const std::string& indent) {
  std::istringstream words_in(plain(text));
  std::string word, line, out;
  while (words_in >> word) {
    if (!line.empty() && display_width(indent + line) + 1 + display_width(word) > kWidth) {
      out += indent + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + fit(word, kWidth - indent.size());
  }
  return line.empty() ? out : out + indent + line + "\n";
}

}  // namespace

std::string terminal_report(const AuditSummary& summary) {
  std::vector<Table> tables = {attack_table(summary, Detail::kShort)};
  const Table controls = control_table(summary, Detail::kShort);
  if (!controls.rows.empty()) tables.push_back(controls);
  const std::string title = concat(summary.behaviour, " · ", summary.model, " · ", summary.sae);
  return fit(plain(title), kWidth) + "\n" +
         concat(summary.n_prompts, " prompts, ", summary.n_valid, " valid flips\n\n") +
         text_tables(tables, kWidth) + "Verdict: " + plain(summary.verdict) + "\n" +
         wrapped(summary.verdict_text, "  ");
}

}  // namespace rebound
