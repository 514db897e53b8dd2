#include "rebound/report/chart.h"
#include "rebound/report/figure.h"
#include "rebound/report/page_files.h"
#include "rebound/report/report.h"
#include "rebound/report/tables.h"

namespace rebound {
namespace {

constexpr char kHead[] = R"(<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'">
)";

std::string section(const std::string& title, const std::string& body) {
  if (body.empty()) return "";
  return "<section><h2>" + escape_html(title) + "</h2>\n" + body + "</section>\n";
}

std::string folded(const std::string& title, const std::string& body) {
  if (body.empty()) return "";
  return "<section><details><summary><h2>" + escape_html(title) + "</h2></summary>\n" + body +
         "</details></section>\n";
}

std::string table_or_nothing(const Table& table) {
  return table.rows.empty() ? "" : html_table(table);
}

std::string tables_of(const Json& json) {
  std::string html;
  for (const Table& table : json_tables("", json)) html += html_table(table);
  return html;
}

std::string chart(const std::string& id, const std::string& caption, const Json& spec) {
  if (spec.is_null()) return "";
  return "<figure><div class=\"chart\" id=\"" + id + "\" role=\"img\" aria-label=\"" +
         escape_html(caption) + "\"></div><figcaption>" + escape_html(caption) +
         "</figcaption><script type=\"application/json\" data-chart=\"" + id + "\">" +
         json_for_script(spec) + "</script></figure>\n";
}

std::string masthead(const AuditSummary& summary) {
  return "<header><p class=\"kicker\">rebound audit</p>\n<h1>" + escape_html(summary.behaviour) +
         "</h1>\n<p class=\"what\">" + escape_html(summary.model) + " · " +
         escape_html(summary.sae) +
         concat(" · ", summary.n_prompts, " prompts, ", summary.n_valid, " valid flips") +
         "</p>\n<div class=\"verdict\"><p class=\"name\">" + escape_html(summary.verdict) +
         "</p>\n<p>" + escape_html(summary.verdict_text) + "</p></div></header>\n";
}

std::string findings(const AuditSummary& summary) {
  const std::string attack =
      chart("drift",
            "Recovery with its 95 % interval against the drift of the defended features, numbered "
            "as in the tables below: circles are attacks, squares controls. Left: rows that leave "
            "the "
            "defended features as they are.",
            drift_chart(summary)) +
      table_or_nothing(attack_table(summary, Detail::kFull));
  const std::string budgets =
      chart("budget",
            "Minimal norm per nat of gap: how hard it is to recover the behaviour, and to "
            "inject another. Triangles: the cap was not enough.",
            minimal_budget_chart(summary.headline)) +
      table_or_nothing(minimal_budget_table(summary.headline));
  Table control_rows = control_table(summary, Detail::kFull);
  control_rows.title.clear();  // the section has it
  const std::string controls = table_or_nothing(question_table(summary)) +
                               table_or_nothing(control_rows) + tables_of(summary.controls);
  return section("Headline figures", table_or_nothing(headline_table(summary.headline))) +
         section("Recovery against drift", attack) + section("Minimal budgets", budgets) +
         section("Controls", controls) +
         section("Recovery-path attribution", tables_of(summary.attribution));
}

std::string details(const ReportInput& input, const ReportOptions& options) {
  const std::string spec =
      input.spec.is_null()
          ? ""
          : "<pre>" + escape_html(input.spec.dump(2, ' ', false, Json::error_handler_t::replace)) +
                "</pre>\n";
  return folded("Prompts", table_or_nothing(prompt_table(input, options.show_text))) +
         folded("Defence", tables_of(input.summary.defence)) + folded("Settings", spec) +
         folded("Environment", tables_of(input.summary.environment));
}

std::string script(std::string_view source) {
  return "<script>" + std::string(source) + "</script>\n";
}

}  // namespace

std::string html_report(const ReportInput& input, const ReportOptions& options) {
  const PageFiles files = page_files();
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n" + std::string(kHead) +
         "<title>rebound: " + escape_html(input.summary.behaviour) + ", " +
         escape_html(input.summary.verdict) + "</title>\n<style>" + std::string(files.style) +
         "</style>\n</head>\n<body>\n<main>\n" + masthead(input.summary) + findings(input.summary) +
         details(input, options) + "</main>\n<!-- This page carries Vega and Vega-Lite.\n" +
         escape_html(std::string(files.notices)) + "-->\n" + script(files.vega) +
         script(files.vega_lite) + script(files.script) + "</body>\n</html>\n";
}

}  // namespace rebound
