#include "rebound/report/certificate.h"
#include "rebound/report/figure.h"
#include "rebound/report/report.h"
#include "rebound/report/reproduce.h"
#include "rebound/report/scope.h"
#include "rebound/report/tables.h"

namespace rebound {
namespace {

std::string section(const std::string& title, const Table& table) {
  return table.rows.empty() ? "" : "## " + title + "\n\n" + markdown_table(table);
}

std::string list(const std::string& title, const std::vector<std::string>& lines) {
  std::string text = "## " + title + "\n\n";
  for (const std::string& line : lines) text += "- " + escape_markdown(line) + "\n";
  return text + "\n";
}

std::string sections(const std::string& title, const Json& json) {
  std::string text;
  for (const Table& table : json_tables(title, json)) text += section(table.title, table);
  return text;
}

}  // namespace

std::string markdown_report(const ReportInput& input, const ReportOptions& options) {
  const AuditSummary& summary = input.summary;
  std::string text = "# rebound audit: " + escape_markdown(summary.behaviour) + "\n\n";
  text += "**" + escape_markdown(summary.verdict) + ".** " + escape_markdown(summary.verdict_text) +
          "\n\n";
  text += concat("Model ",
                 escape_markdown(summary.model),
                 ", SAE ",
                 escape_markdown(summary.sae),
                 "; ",
                 summary.n_prompts,
                 " prompts, ",
                 summary.n_valid,
                 " valid flips.\n\n");
  const Scope scope = scope_of(input);
  text += list("Tested", scope.tested) + list("Not tested", scope.not_tested);
  text += section("Headline figures", headline_table(summary.headline));
  text += section("Attack", attack_table(summary, Detail::kFull));
  text += section("Minimal budgets", minimal_budget_table(input));
  text += section("Controls", control_table(summary, Detail::kFull));
  text += section("What the controls ask", question_table(summary));
  text += sections("Further controls", summary.controls);
  text += sections("Recovery-path attribution", summary.attribution);
  text += section("Constraint certificate", without_empty_columns(certificate_table(input)));
  text += section("Prompts", prompt_table(input, options.show_text));
  text += sections("Defence", without_folders(summary.defence));
  text += sections("Environment", without_folders(summary.environment));
  return text;
}

}  // namespace rebound
