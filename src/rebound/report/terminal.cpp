#include "rebound/report/terminal.h"

#include <algorithm>

#include "rebound/report/figure.h"
#include "rebound/report/scope.h"
#include "rebound/report/tables.h"
#include "rebound/report/terminal_parts.h"
#include "rebound/report/terminal_table.h"

namespace rebound {
namespace {

Paint paint_of_verdict(const std::string& verdict) {
  if (verdict.starts_with("bottleneck")) return Paint::kGood;
  if (verdict == "handle") return Paint::kBad;
  return verdict == "undetermined" ? Paint::kFaint : Paint::kCaution;
}

std::string heading(const AuditSummary& summary, const TerminalStyle& style) {
  const std::string title =
      spoken(concat(summary.behaviour, " · ", summary.model, " · ", summary.sae), style);
  const std::string cut = ascii_if_wished(fit(title, style.width), style);
  return painted(cut, Paint::kBold, style) + "\n" +
         concat(summary.n_prompts, " prompts, ", summary.n_valid, " valid flips\n\n");
}

std::string verdict_part(const AuditSummary& summary, const TerminalStyle& style) {
  const std::string name =
      ascii_if_wished(fit(spoken(summary.verdict, style), style.width - 9), style);
  return painted("Verdict: ", Paint::kBold, style) +
         painted(name, paint_of_verdict(summary.verdict), style) + "\n" +
         paragraph(meaning_of_verdict(summary.verdict), "  ", style) +
         paragraph(summary.verdict_text, "  ", style) + "\n";
}

std::string ladder_part(const AuditSummary& summary, const TerminalStyle& style) {
  std::vector<Table> tables;
  for (Table& table : std::vector<Table>{attack_table(summary, Detail::kShort),
                                         control_table(summary, Detail::kShort)}) {
    if (!table.rows.empty()) tables.push_back(std::move(table));
  }
  if (tables.empty()) return "";
  std::string text = bar_tables(tables, style) + bar_legend(style);
  const bool is_marked = std::any_of(
      tables.begin(), tables.end(), [](const Table& table) { return table.marked.has_value(); });
  if (is_marked) text += paragraph("▸ the verdict rests on this row.", "  ", style);
  return text + "\n";
}

std::string untested_part(const ReportInput& input, const TerminalStyle& style) {
  std::string list;
  for (const std::string& line : scope_of(input).not_tested)
    list += (list.empty() ? "" : "; ") + line;
  return list.empty() ? "" : paragraph("Not tested: " + list + ".", "", style);
}

// "#3 inject -> Tom": its number and name as in the reports, and what kind of row it is.
std::string row_heading(const AuditSummary& summary,
                        const Table& table,
                        size_t r,
                        const TerminalStyle& style) {
  const bool is_marked = table.marked == r;
  const std::string name = concat("#", table.rows[r][0], " ", table.rows[r][1]);
  const std::string text = paragraph(name, "", style);
  std::string head = painted(text.substr(0, text.size() - 1), Paint::kBold, style) + "\n";
  const size_t index = static_cast<size_t>(std::stoull(table.rows[r][0])) - 1;
  const RowSummary& row = summary.rows[index];
  std::string kind = concat(row.is_attack() ? "attack" : "control",
                            ", ",
                            words(row.threat_model),
                            ", ",
                            words(row.scope));
  if (is_marked) kind += ", " + table.mark;
  return head + paragraph(kind, "    ", style);
}

std::string row_block(const AuditSummary& summary,
                      const Table& table,
                      size_t r,
                      const TerminalStyle& style) {
  const std::vector<std::string>& cells = table.rows[r];
  std::vector<std::string> figures = {spoken(cells[2], style), spoken(cells[3], style)};
  for (size_t c = 4; c < cells.size(); ++c) {
    if (cells[c] != "–") figures.push_back(spoken(table.columns[c].title + " " + cells[c], style));
  }
  return row_heading(summary, table, r, style) + "    " +
         interval_bar(table.bars[r], std::min<size_t>(style.width - 4, 40), style) + "\n" +
         flow(figures, "    ", style) + "\n";
}

}  // namespace

std::string terminal_report(const ReportInput& input, const TerminalStyle& wished) {
  const TerminalStyle style = wished.within_limits();
  return heading(input.summary, style) + verdict_part(input.summary, style) +
         ladder_part(input.summary, style) + budget_part(input, style) +
         attribution_part(input.summary, style) + site_part(input.summary, style) +
         untested_part(input, style);
}

std::string terminal_rows(const ReportInput& input, const TerminalStyle& wished) {
  const TerminalStyle style = wished.within_limits();
  std::string text = heading(input.summary, style);
  for (const Table& table :
       {attack_table(input.summary, Detail::kFull), control_table(input.summary, Detail::kFull)}) {
    if (!table.rows.empty()) text += painted(table.title, Paint::kBold, style) + "\n\n";
    for (size_t r = 0; r < table.rows.size(); ++r)
      text += row_block(input.summary, table, r, style);
  }
  const Table questions = question_table(input.summary);
  for (const auto& row : questions.rows) text += paragraph(row[0] + ": " + row[1], "", style);
  return text;
}

}  // namespace rebound
