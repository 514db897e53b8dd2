#include <cmath>

#include "rebound/report/compare.h"
#include "rebound/report/content_policy.h"
#include "rebound/report/figure.h"
#include "rebound/report/glossary.h"
#include "rebound/report/page_files.h"

namespace rebound {
namespace {

constexpr size_t kTextWidth = 110;

std::string p_text(double p) { return std::isnan(p) ? "–" : p < 0.001 ? "< 0.001" : show(p); }

struct Part {
  const char* title;
  Table table;
};

std::vector<Part> parts_of(const Comparison& comparison) {
  return {{"Verdicts", verdict_table(comparison)},
          {"Same row, same examples", paired_table(comparison)},
          {"What was asked differently", difference_table(comparison, comparison.spec)},
          {"What it ran on", difference_table(comparison, comparison.environment)}};
}

Json estimate(const Estimate& value) {
  const auto finite = [](double x) { return std::isfinite(x) ? Json(x) : Json(); };
  return {{"value", finite(value.value)},
          {"ci_low", finite(value.low)},
          {"ci_high", finite(value.high)}};
}

Json list_of(const std::vector<SpecDifference>& differences) {
  Json list = Json::array();
  for (const SpecDifference& difference : differences)
    list.push_back({{"key", difference.key}, {"values", difference.values}});
  return list;
}

}  // namespace

Table verdict_table(const Comparison& comparison) {
  Table table{.title = "",
              .columns = {{"run"}, {"verdict"}, {"prompts", true}, {"valid flips", true}},
              .rows = {}};
  for (size_t r = 0; r < comparison.names.size(); ++r) {
    table.rows.push_back({comparison.names[r],
                          comparison.verdicts[r],
                          std::to_string(comparison.n_prompts[r]),
                          std::to_string(comparison.n_valid[r])});
  }
  return table;
}

Table difference_table(const Comparison& comparison,
                       const std::vector<SpecDifference>& differences) {
  Table table{.title = "", .columns = {{"key"}}, .rows = {}};
  for (const std::string& name : comparison.names) table.columns.push_back({name});
  for (const SpecDifference& difference : differences) {
    table.rows.push_back({difference.key});
    table.rows.back().insert(
        table.rows.back().end(), difference.values.begin(), difference.values.end());
  }
  return table;
}

Table paired_table(const Comparison& comparison) {
  const bool is_pair = comparison.names.size() == 2;
  Table table{.title = "",
              .columns = {{"row"},
                          {"both", true},
                          {is_pair ? comparison.names[0] : "first", true},
                          {is_pair ? comparison.names[1] : "other", true},
                          {"difference", true},
                          {"95 % interval", true},
                          {"p", true},
                          {"only one", true}},
              .rows = {},
              .note =
                  "Shares recovered of the examples that both runs attacked. Interval: bootstrap "
                  "over near-duplicates, paired. p: McNemar's exact "
                  "test, of rows with one try an example; several rows are several tests, and "
                  "nothing is corrected for that. Only one: examples that "
                  "one run alone attacked (first, other)."};
  for (const RowComparison& row : comparison.rows) {
    const std::string name = is_pair ? row.row : concat(row.second, ": ", row.row);
    table.rows.push_back({name,
                          std::to_string(row.n_both),
                          percent(row.rate_first),
                          percent(row.rate_second),
                          percent(row.difference.value),
                          percent_interval(row.difference.low, row.difference.high),
                          p_text(row.p_value),
                          concat(row.n_only_first, ", ", row.n_only_second)});
  }
  return table;
}

std::string compare_terminal(const Comparison& comparison) {
  std::string text;
  for (Part& part : parts_of(comparison)) {
    if (part.table.rows.empty()) continue;
    part.table.title = part.title;
    text += text_tables({part.table}, kTextWidth);
  }
  return text;
}

std::string compare_markdown(const Comparison& comparison) {
  std::string text = "# rebound compare\n\n";
  for (const Part& part : parts_of(comparison)) {
    if (!part.table.rows.empty())
      text += concat("## ", part.title, "\n\n", markdown_table(part.table));
  }
  return text;
}

std::string compare_html(const Comparison& comparison) {
  const PageFiles files = page_files();
  std::string body, names;
  for (const std::string& name : comparison.names)
    names += (names.empty() ? "" : " · ") + escape_html(name);
  for (const Part& part : parts_of(comparison)) {
    if (part.table.rows.empty()) continue;
    const char* kind = part.table.columns.front().title == "key" ? " class=\"differences\"" : "";
    body += concat("<section",
                   kind,
                   "><h2>",
                   part.title,
                   "</h2>\n",
                   html_table(part.table, part.title),
                   "</section>\n");
  }
  return "<!doctype html>\n<html lang=\"en\" class=\"no-script\">\n<head>\n<meta "
         "charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         content_policy({}, files.style) +
         "\">\n<meta name=\"viewport\" content=\"width=device-width, "
         "initial-scale=1\">\n<title>rebound: comparison</title>\n<style>" +
         std::string(files.style) +
         "</style>\n</head>\n<body>\n<main>\n<h1>Runs compared</h1>\n<p class=\"what\">" + names +
         "</p>\n" + body + "<section><h2>Glossary</h2>\n" + html_glossary() +
         "</section>\n</main>\n</body>\n</html>\n";
}

Json to_json(const Comparison& comparison) {
  Json rows = Json::array();
  for (const RowComparison& row : comparison.rows) {
    rows.push_back({{"row", row.row},
                    {"first", row.first},
                    {"second", row.second},
                    {"n_both", row.n_both},
                    {"n_only_first", row.n_only_first},
                    {"n_only_second", row.n_only_second},
                    {"rate_first", row.rate_first},
                    {"rate_second", row.rate_second},
                    {"difference", estimate(row.difference)},
                    {"p_value", std::isnan(row.p_value) ? Json() : Json(row.p_value)}});
  }
  return {{"runs", comparison.names},
          {"verdicts", comparison.verdicts},
          {"n_prompts", comparison.n_prompts},
          {"n_valid", comparison.n_valid},
          {"spec", list_of(comparison.spec)},
          {"environment", list_of(comparison.environment)},
          {"rows", rows}};
}

}  // namespace rebound
