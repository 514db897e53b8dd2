#include "rebound/report/overview.h"

#include <cmath>
#include <vector>

#include "rebound/report/figure.h"
#include "rebound/report/glossary.h"
#include "rebound/report/scope.h"

namespace rebound {
namespace {

struct Tile {
  std::string label;
  std::string value;
  std::string text;
};

Json headline_figure(const AuditSummary& summary, const char* key) {
  return summary.headline.is_object() ? summary.headline.value(key, Json()) : Json();
}

void add_estimate(const AuditSummary& summary,
                  const char* key,
                  const char* label,
                  const char* text,
                  std::vector<Tile>& tiles) {
  const Json estimate = headline_figure(summary, key);
  if (!is_one_figure(estimate) || estimate.value("value", Json()).is_null()) return;
  tiles.push_back({label, show_json(estimate), text});
}

std::vector<Tile> tiles_of(const AuditSummary& summary) {
  std::vector<Tile> tiles;
  if (const RowSummary* row = headline_row(summary)) {
    tiles.push_back({"recovered",
                     concat(count_of(row->recovered, row->n_valid),
                            " ",
                            percent_interval(row->ci_low, row->ci_high)),
                     "flips that come back with the defence on"});
    if (std::isfinite(row->drift_pre_rel)) {
      tiles.push_back(
          {"drift", show(row->drift_pre_rel), "of the defended features, relative, mean"});
    }
  }
  add_estimate(summary,
               "above_random",
               "above random",
               "recovery minus that of random directions; 0: no better",
               tiles);
  add_estimate(summary,
               "specificity_per_nat",
               "specificity per nat",
               "cost of writing something else over cost of recovery; 1: the same",
               tiles);
  add_estimate(summary,
               "shared_above_wrong_rule",
               "shared above wrong rule",
               "held-out recovery of one perturbation for all, above its control",
               tiles);
  return tiles;
}

std::string html_tiles(const AuditSummary& summary) {
  std::string html;
  for (const Tile& tile : tiles_of(summary)) {
    html += "<div><dt>" + html_label(tile.label) + "</dt><dd><strong>" + escape_html(tile.value) +
            "</strong> <span>" + escape_html(tile.text) + "</span></dd></div>\n";
  }
  return html.empty() ? "" : "<dl class=\"tiles\">\n" + html + "</dl>\n";
}

std::string html_list(const std::string& title, const std::vector<std::string>& lines) {
  std::string html = "<div><h2>" + escape_html(title) + "</h2><ul>";
  for (const std::string& line : lines) html += "<li>" + escape_html(line) + "</li>";
  return html + "</ul></div>\n";
}

std::string html_redaction(const ReportOptions& options) {
  if (options.show_text) {
    return "<p class=\"badge shown\"><strong>Texts shown.</strong> This page holds the text of "
           "prompts.</p>\n";
  }
  return "<p class=\"badge\"><strong>Redacted.</strong> Prompts stand by id; their text, tokens "
         "and answers, and folder names, are "
         "not in this file.</p>\n";
}

std::string html_verdict(const AuditSummary& summary) {
  const std::string meaning = meaning_of_verdict(summary.verdict);
  return "<div class=\"verdict\"><p class=\"name\"><a class=\"term\" "
         "href=\"#term-verdict\">Verdict</a>: <strong>" +
         escape_html(summary.verdict) + "</strong></p>\n" +
         (meaning.empty() ? "" : "<p class=\"meaning\">" + escape_html(meaning) + "</p>\n") +
         "<p>" + escape_html(summary.verdict_text) + "</p></div>\n";
}

}  // namespace

std::string html_overview(const ReportInput& input, const ReportOptions& options) {
  const AuditSummary& summary = input.summary;
  const Scope scope = scope_of(input);
  return "<header>\n<h1>Is “" + escape_html(summary.behaviour) +
         "” gone?</h1>\n<p class=\"what\">" + escape_html(summary.model) + " · " +
         escape_html(summary.sae) +
         concat(" · ", summary.n_prompts, " prompts, ", summary.n_valid, " ") +
         html_label("valid flips") + "</p>\n" + html_redaction(options) + html_verdict(summary) +
         html_tiles(summary) + "<div class=\"scope\">\n" + html_list("Tested", scope.tested) +
         html_list("Not tested", scope.not_tested) + "</div>\n</header>\n";
}

}  // namespace rebound
