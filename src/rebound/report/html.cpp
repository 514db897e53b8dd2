#include <algorithm>

#include "rebound/report/certificate.h"
#include "rebound/report/chart.h"
#include "rebound/report/content_policy.h"
#include "rebound/report/example_data.h"
#include "rebound/report/figure.h"
#include "rebound/report/glossary.h"
#include "rebound/report/overview.h"
#include "rebound/report/page_files.h"
#include "rebound/report/report.h"
#include "rebound/report/reproduce.h"
#include "rebound/report/tables.h"

namespace rebound {
namespace {

struct Section {
  std::string id;
  std::string link;  // in the bar at the top
  std::string title;
  std::string body;
};

std::string table_or_nothing(const Table& table, const std::string& label) {
  return table.rows.empty() ? "" : html_table(table, label);
}

std::string tables_of(const Json& json, const std::string& label) {
  std::string html;
  for (const Table& table : json_tables("", json)) {
    html += html_table(table, table.title.empty() ? label : label + ", " + table.title);
  }
  return html;
}

std::string folded(const std::string& title, const std::string& body) {
  if (body.empty()) return "";
  return "<details><summary>" + escape_html(title) + "</summary>\n" + body + "</details>\n";
}

std::string data_script(const std::string& attribute, const std::string& id, const Json& json) {
  return "<script type=\"application/json\" " + attribute + "=\"" + id + "\">" +
         json_for_script(json) + "</script>\n";
}

std::string figure(const Chart& chart) {
  if (chart.spec.is_null()) return "";
  return "<figure><h3>" + escape_html(chart.title) + "</h3><div class=\"chart\" id=\"" + chart.id +
         "\" role=\"img\" aria-label=\"" + escape_html(chart.title + ". " + chart.text) +
         "\"><noscript>Drawn by JavaScript; the figures are in the "
         "tables.</noscript></div>\n<figcaption>" +
         escape_html(chart.text) + "</figcaption>\n" +
         data_script("data-chart", chart.id, chart.spec) + "</figure>\n";
}

// Side by side where there is room.
std::string figures(const std::vector<Chart>& charts) {
  std::string html;
  for (const Chart& chart : charts) html += figure(chart);
  return html.empty() ? "" : "<div class=\"figures\">\n" + html + "</div>\n";
}

Json without(const Json& object, const char* key) {
  Json rest = object;
  if (rest.is_object()) rest.erase(key);
  return rest;
}

std::string recovery(const ReportInput& input) {
  return figures({drift_chart(input.summary), exact_rows_chart(input.summary)}) +
         table_or_nothing(without_empty_columns(attack_table(input.summary, Detail::kFull)),
                          "attack") +
         folded("All headline figures",
                tables_of(without(input.summary.headline, "minimal_budgets"), "headline figures"));
}

std::string budgets(const ReportInput& input) {
  return figures({budget_curve_chart(input),
                  per_nat_curve_chart(input),
                  minimal_budget_chart(input),
                  shared_budget_chart(input.summary)}) +
         table_or_nothing(minimal_budget_table(input), "minimal budgets");
}

std::string controls(const ReportInput& input) {
  Table rows = without_empty_columns(control_table(input.summary, Detail::kFull));
  rows.title.clear();  // the section has it
  return table_or_nothing(question_table(input.summary), "what the controls ask") +
         table_or_nothing(rows, "controls") +
         tables_of(without(input.summary.controls, "utility"), "further controls") +
         tables_of(input.summary.extra, "further figures");
}

std::string route(const ReportInput& input) {
  return figures({attribution_chart(input.summary)}) +
         tables_of(input.summary.attribution, "attribution");
}

std::string certificate(const ReportInput& input) {
  const Table table = without_empty_columns(certificate_table(input));
  if (table.rows.empty()) return "";
  return "<p>" + escape_html(certificate_text(input)) + "</p>\n" +
         html_table(table, "constraint certificate");
}

std::string utility(const ReportInput& input) {
  const Json& all = input.summary.controls;
  const Json cost = all.is_object() ? all.value("utility", Json()) : Json();
  if (cost.is_null())
    return "<p>Not measured in this run: <code>rebound utility</code> does.</p>\n";
  return "<p>What the defence costs on harmless text, in nats a token: the nearer its figures to "
         "the undefended model's, the better. A "
         "defence that breaks the model here has not removed one behaviour.</p>\n" +
         tables_of(without_folders(cost), "utility");
}

std::string examples(const ReportInput& input, const ReportOptions& options) {
  if (input.examples.empty()) return "";
  return std::string("<div id=\"examples-table\" class=\"needs-script\"></div>\n<noscript>") +
         table_or_nothing(prompt_table(input, options.show_text), "examples") + "</noscript>\n" +
         data_script("data-examples", "all", example_data(input, options)) +
         data_script("data-example-chart", "scores", score_chart_spec()) +
         data_script("data-example-chart", "steps", step_chart_spec()) +
         data_script("data-example-chart", "positions", position_chart_spec()) +
         folded("What a run does not record",
                "<p>Single logits (the score is their difference), the drift of each feature alone "
                "(its norm over all of them is), "
                "the strings of tokens (their ids are, with <code>--show-text</code>), "
                "perturbations position by position in audits of whole "
                "answers (their norm at each site is), and generated answers, which are never "
                "stored. Steps are recorded with "
                "<code>rebound audit --trace</code>, and are in the page that <code>rebound "
                "report</code> makes.</p>");
}

std::vector<Section> sections_of(const ReportInput& input, const ReportOptions& options) {
  std::vector<Section> sections = {
      {"recovery", "Recovery", "Recovery against drift", recovery(input)},
      {"budgets", "Budgets", "Budgets", budgets(input)},
      {"controls", "Controls", "Controls", controls(input)},
      {"route", "Path", "Recovery path", route(input)},
      {"certificate", "Certificate", "Constraint certificate", certificate(input)},
      {"utility", "Utility", "Utility", utility(input)},
      {"examples", "Examples", "Examples", examples(input, options)},
      {"reproduce", "Reproduce", "Reproduce", html_reproduce(input)},
      {"defence",
       "Defence",
       "Defence",
       tables_of(without_folders(input.summary.defence), "defence")},
      {"environment",
       "Environment",
       "Environment",
       tables_of(without_folders(input.summary.environment), "environment")},
      {"glossary", "Glossary", "Glossary", html_glossary()}};
  std::erase_if(sections, [](const Section& section) { return section.body.empty(); });
  return sections;
}

std::string navigation(const std::vector<Section>& sections) {
  std::string links;
  for (const Section& section : sections) {
    links += "<li><a href=\"#" + section.id + "\">" + escape_html(section.link) + "</a></li>";
  }
  return "<a class=\"skip\" href=\"#content\">Skip to the report</a>\n<nav "
         "aria-label=\"Sections\"><span class=\"brand\">rebound audit</span><ul>" +
         links +
         "</ul><button type=\"button\" id=\"theme\" class=\"needs-script\">Theme: "
         "system</button></nav>\n";
}

std::string body_of(const std::vector<Section>& sections) {
  std::string html;
  for (const Section& section : sections) {
    html += "<section id=\"" + section.id + "\"><h2>" + escape_html(section.title) + "</h2>\n" +
            section.body + "</section>\n";
  }
  return html;
}

std::string script(std::string_view source) {
  return "<script>" + std::string(source) + "</script>\n";
}

}  // namespace

std::string html_report(const ReportInput& input, const ReportOptions& options) {
  const PageFiles files = page_files();
  const std::vector<Section> sections = sections_of(input, options);
  const std::vector<std::string_view> scripts = {
      files.vega, files.vega_lite, files.vega_interpreter, files.script};
  std::string scripts_html;
  for (const std::string_view source : scripts) scripts_html += script(source);
  return "<!doctype html>\n<html lang=\"en\" class=\"no-script\">\n<head>\n<meta "
         "charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         content_policy(scripts, files.style) +
         "\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>rebound: " +
         escape_html(input.summary.behaviour) + ", " + escape_html(input.summary.verdict) +
         "</title>\n<style>" + std::string(files.style) + "</style>\n</head>\n<body>\n" +
         navigation(sections) + "<main id=\"content\" tabindex=\"-1\">\n" +
         html_overview(input, options) + body_of(sections) +
         "</main>\n<!-- This page carries Vega, Vega-Lite and vega-interpreter.\n" +
         escape_html(std::string(files.notices)) + "-->\n" + scripts_html + "</body>\n</html>\n";
}

}  // namespace rebound
