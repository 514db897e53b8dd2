#include "rebound/report/terminal_parts.h"

#include <algorithm>
#include <cmath>

#include "rebound/report/attribution_bars.h"
#include "rebound/report/budgets.h"
#include "rebound/report/figure.h"
#include "rebound/report/tables.h"

namespace rebound {
namespace {

size_t length_of_bars(const TerminalStyle& style) {
  return style.width >= 100 ? 20 : style.width >= 64 ? 14 : 8;
}

double number_or_nan(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_number() ? found->get<double>() : kNotMeasured;
}

struct LogAxis {
  double low = 0, high = 0;

  // Of searches that found something; high == 0 where none did.
  static LogAxis over(const std::vector<BudgetSearch>& searches) {
    LogAxis axis;
    for (const BudgetSearch& search : searches) {
      if (search.is_censored()) continue;
      const double x = search.budget / search.gap;
      axis.low = axis.high == 0 ? x : std::min(axis.low, x);
      axis.high = std::max(axis.high, x);
    }
    return axis;
  }

  size_t bin(double x, size_t n) const {
    if (!(high > low)) return n / 2;
    const double at = std::log(x / low) / std::log(high / low) * static_cast<double>(n);
    return std::min(n - 1, static_cast<size_t>(std::max(0.0, at)));
  }
};

std::string budget_histogram(const std::vector<BudgetSearch>& searches,
                             const std::string& series,
                             const LogAxis& axis,
                             const TerminalStyle& style) {
  std::vector<double> counts(length_of_bars(style), 0);
  for (const BudgetSearch& search : searches) {
    if (search.series != series || search.is_censored()) continue;
    counts[axis.bin(search.budget / search.gap, counts.size())] += 1;
  }
  return sparkline(counts, style);
}

// A row of minimal_budget_table with its distribution before it.
std::string budget_lines(const std::vector<BudgetSearch>& searches,
                         const std::vector<std::string>& row,
                         const LogAxis& axis,
                         const TerminalStyle& style) {
  const size_t bar = length_of_bars(style);
  const std::string histogram = filled_up(budget_histogram(searches, row[0], axis, style), bar);
  const Paint paint = row[0].starts_with("recover") ? Paint::kAttack : Paint::kControl;
  const std::string name = fit(spoken(row[0], style), style.width - bar - 4);
  return "  " + painted(histogram, paint, style) + "  " + ascii_if_wished(name, style) + "\n" +
         flow({"n " + row[1],
               "censored " + row[2],
               "median norm " + spoken(row[3], style),
               "per nat " + spoken(row[4], style)},
              std::string(style.width < 64 ? 4 : bar + 4, ' '),
              style);
}

std::string section_title(const std::string& text, const TerminalStyle& style) {
  const std::string line = ascii_if_wished(fit(spoken(text, style), style.width), style);
  return painted(line, Paint::kBold, style) + "\n";
}

}  // namespace

std::string length_lines(const std::vector<LengthLine>& lines, const TerminalStyle& style) {
  const size_t bar = length_of_bars(style);
  size_t name = 0, figure = 0;
  for (const LengthLine& line : lines) {
    name = std::max(name, display_width(spoken(line.name, style)));
    figure = std::max(figure, display_width(spoken(line.figure, style)));
  }
  const size_t room = style.width - bar - 6;  // of name and figure: two columns before each part
  figure = std::min(figure, room / 2);
  name = std::min(name, room - figure);
  std::string text;
  for (const LengthLine& line : lines) {
    std::string printed = "  " + filled_up(fit(spoken(line.name, style), name), name) + "  " +
                          length_bar(line.length, bar, style) + "  " +
                          fit(spoken(line.figure, style), figure);
    printed.erase(printed.find_last_not_of(' ') + 1);
    text += ascii_if_wished(printed, style) + "\n";
  }
  return text;
}

std::string budget_part(const ReportInput& input, const TerminalStyle& style) {
  const std::vector<BudgetSearch> searches = budget_searches(input);
  const LogAxis axis = LogAxis::over(searches);
  if (searches.empty()) return "";
  std::string text = section_title("Minimal budgets", style);
  if (axis.high > 0) {
    text += paragraph(concat("How many searches ended where: norm per nat of gap, ",
                             show(axis.low),
                             " to ",
                             show(axis.high),
                             ", logarithmic."),
                      "  ",
                      style);
  }
  const Table medians = minimal_budget_table(input);
  for (const auto& row : medians.rows) text += budget_lines(searches, row, axis, style);
  return text + "\n";
}

std::string attribution_part(const AuditSummary& summary, const TerminalStyle& style) {
  const std::vector<AttributionBar> bars = attribution_bars(summary.attribution);
  if (bars.empty()) return "";
  std::string text = section_title("Where the perturbation travels", style);
  std::vector<LengthLine> lines;
  std::string part;
  const auto end_part = [&] {
    if (!lines.empty()) text += length_lines(lines, style);
    lines.clear();
  };
  size_t widest = 0;
  for (const std::string& measure : attribution_measures())
    widest = std::max(widest, display_width(measure));
  for (const AttributionBar& bar : bars) {
    if (bar.part != part || lines.empty()) {
      end_part();
      part = bar.part;
      text += paragraph(part, "  ", style);
    }
    const std::string interval = style.width < 64 ? "" : " " + percent_interval(bar.low, bar.high);
    const std::string figure = bar.count.empty() ? percent(bar.share) : bar.count + interval;
    // One width for the names of all parts.
    lines.push_back({filled_up("  " + bar.measure, widest + 2), bar.share, figure});
  }
  end_part();
  return text + "\n";
}

std::string site_part(const AuditSummary& summary, const TerminalStyle& style) {
  const Json& attribution = summary.attribution;
  const auto sites = attribution.is_object() ? attribution.find("sites") : attribution.end();
  if (sites == attribution.end() || !sites->is_array()) return "";
  double largest = 0;
  for (const Json& site : *sites) {
    const double norm = number_or_nan(site, "norm_mean");
    if (std::isfinite(norm)) largest = std::max(largest, norm);
  }
  std::vector<LengthLine> lines;
  for (const Json& site : *sites) {
    const double norm = number_or_nan(site, "norm_mean");
    if (!std::isfinite(norm) || largest <= 0) continue;
    lines.push_back({show_json(site.value("name", Json())), norm / largest, "norm " + show(norm)});
  }
  if (lines.size() < 2) return "";
  return section_title("Where it enters, layer by layer", style) + length_lines(lines, style) +
         "\n";
}

}  // namespace rebound
