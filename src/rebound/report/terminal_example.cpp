#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "rebound/base/error.h"
#include "rebound/report/example_data.h"
#include "rebound/report/figure.h"
#include "rebound/report/terminal.h"
#include "rebound/report/terminal_parts.h"

namespace rebound {
namespace {

constexpr size_t kMostTraceColumns = 60;

std::string name_of_example(const StoredExample& example) {
  return example.id.empty() ? std::to_string(example.prompt) : example.id;
}

const StoredExample& find_example(const ReportInput& input, const std::string& id) {
  for (const StoredExample& example : input.examples) {
    if (example.id == id) return example;
  }
  for (const StoredExample& example : input.examples) {
    if (std::to_string(example.prompt) == id) return example;
  }
  std::string some;
  for (size_t i = 0; i < std::min<size_t>(4, input.examples.size()); ++i)
    some += (i ? ", " : "") + plain(name_of_example(input.examples[i]));
  throw ConfigError(concat("--example: got ",
                           plain(id),
                           ", expected the id or number of one of ",
                           input.examples.size(),
                           " examples",
                           some.empty() ? "" : ", such as ",
                           some));
}

std::string answer_verdict(const StoredExample& example, const char* run) {
  const Json answer = example.extra.value(run, Json());
  return answer.is_object() ? words(show_json(answer.value("verdict", Json("–")))) : "–";
}

// Id, flip, further facts, and what the model does without the defence and with it.
std::string example_head(const StoredExample& example, const TerminalStyle& style) {
  const bool has_answers = example.extra.is_object() && example.extra.contains("flip");
  const std::string flip =
      has_answers ? words(show_json(example.extra.at("flip"))) : (example.is_valid ? "yes" : "no");
  const std::string name = fit(spoken(name_of_example(example), style), style.width);
  std::vector<std::string> facts = {"example " + std::to_string(example.prompt),
                                    spoken(example.split, style),
                                    "valid flip: " + spoken(flip, style)};
  if (example.extra.is_object()) {
    for (const auto& [key, value] : example.extra.items()) {
      if (!value.is_structured() && key != "flip")
        facts.push_back(spoken(words(key) + " " + show_json(value), style));
    }
  }
  const std::string without =
      has_answers ? answer_verdict(example, "base") : "score " + show(example.base_score);
  const std::string with =
      has_answers ? answer_verdict(example, "defended") : "score " + show(example.defended_score);
  return painted(ascii_if_wished(name, style), Paint::kBold, style) + "\n" +
         flow(facts, "  ", style) +
         flow({spoken("without the defence: " + without, style), spoken("with it: " + with, style)},
              "  ",
              style);
}

std::string example_text(const StoredExample& example, const TerminalStyle& style, bool show_text) {
  if (!show_text)
    return paragraph("Text: redacted; --show-text shows what the store holds.", "  ", style);
  if (example.text.empty() && example.ids.empty())
    return paragraph("Text: the store holds none, the id stands for it.", "  ", style);
  std::string text = paragraph("Text: " + example.text, "  ", style);
  if (!example.correct.empty())
    text += paragraph(
        concat("Should say “", example.correct, "”, not “", example.wrong, "”."), "  ", style);
  if (!example.ids.empty()) {
    std::string ids = concat(example.ids.size(), " tokens:");
    for (const int64_t id : example.ids) ids += " " + std::to_string(id);
    text += paragraph(ids, "  ", style);
  }
  return text;
}

double figure_or_nan(const StoredResult& result, const char* key) {
  const auto found = result.figures.is_object() ? result.figures.find(key) : result.figures.end();
  return found != result.figures.end() && found->is_number() ? found->get<double>() : kNotMeasured;
}

std::vector<std::string> figures_of_result(const StoredResult& result, const TerminalStyle& style) {
  std::vector<std::string> pieces;
  const Json verdict =
      result.figures.is_object() ? result.figures.value("verdict", Json()) : Json();
  if (verdict.is_string())
    pieces.push_back("answer " + spoken(words(verdict.get<std::string>()), style));
  const auto add = [&](const char* name, double value) {
    if (std::isfinite(value)) pieces.push_back(std::string(name) + " " + show(value));
  };
  add("score", score_of(result));
  add("norm", figure_or_nan(result, "norm"));
  add("drift", figure_or_nan(result, "drift_pre_rel"));
  add("while generating", figure_or_nan(result, "drift_generation_rel"));
  add("KL", figure_or_nan(result, "kl_to_base"));
  add("minimal budget", figure_or_nan(result, "minimal_budget"));
  add("gap", figure_or_nan(result, "gap"));
  if (!result.termination.empty())
    pieces.push_back(concat(result.steps, " steps, ", spoken(words(result.termination), style)));
  return pieces;
}

// "+ #1 forward_projection/answer/per_prompt@40" and its figures below.
std::string outcome_line(const RowSummary& row,
                         size_t number,
                         const StoredResult& result,
                         const TerminalStyle& style,
                         bool show_text) {
  const std::string variant = variant_name(&row, result.variant, show_text);
  const std::string sign = spoken(result.recovered ? "✓ " : "✗ ", style);
  const std::string name = spoken(
      concat("#", number, " ", row.name, variant.empty() ? "" : " (" + variant + ")"), style);
  return "  " + painted(sign, result.recovered ? Paint::kGood : Paint::kBad, style) +
         ascii_if_wished(fit(name, style.width - 4), style) + "\n" +
         flow(figures_of_result(result, style), "      ", style);
}

std::string tries_line(const RowSummary& row,
                       size_t number,
                       const std::vector<const StoredResult*>& tries,
                       const TerminalStyle& style) {
  int64_t won = 0;
  double low = INFINITY, high = -INFINITY;
  for (const StoredResult* result : tries) {
    won += result->recovered;
    const double budget = figure_or_nan(*result, "minimal_budget");
    if (!std::isfinite(budget)) continue;
    low = std::min(low, budget);
    high = std::max(high, budget);
  }
  const std::string name = spoken(concat("#", number, " ", row.name), style);
  std::vector<std::string> pieces = {concat(won, " of ", tries.size(), " tries")};
  if (high >= low) pieces.push_back(concat("minimal budget ", show(low), " to ", show(high)));
  return "    " + ascii_if_wished(fit(name, style.width - 4), style) + "\n" +
         flow(pieces, "      ", style);
}

std::string outcomes_part(const ReportInput& input,
                          int64_t prompt,
                          const TerminalStyle& style,
                          bool show_text) {
  std::map<std::string, std::vector<const StoredResult*>> by_row;
  for (const StoredResult& result : input.results) {
    if (result.prompt == prompt) by_row[result.row].push_back(&result);
  }
  std::string text;
  for (size_t i = 0; i < input.summary.rows.size(); ++i) {
    const RowSummary& row = input.summary.rows[i];
    const auto found = by_row.find(row.name);
    if (found == by_row.end()) continue;
    text += found->second.size() == 1
                ? outcome_line(row, i + 1, *found->second.front(), style, show_text)
                : tries_line(row, i + 1, found->second, style);
  }
  const std::string none =
      paragraph("No row tried it: only valid flips are attacked.", "  ", style);
  return painted("Under every row", Paint::kBold, style) + "\n" + (text.empty() ? none : text);
}

std::string places_part(const ReportInput& input, int64_t prompt, const TerminalStyle& style) {
  std::string text;
  for (const PositionNorms& of : input.positions) {
    if (of.prompt != prompt || of.norms.empty()) continue;
    const double largest = *std::max_element(of.norms.begin(), of.norms.end());
    std::vector<double> norms = of.norms;
    if (norms.size() > style.width - 4) norms.resize(style.width - 4);
    text += ascii_if_wished("  " + fit(spoken(of.row, style), style.width - 2), style) + "\n    " +
            painted(sparkline(norms, style), Paint::kAttack, style) + "\n" +
            paragraph(
                concat(of.norms.size(), " positions, first to last; largest norm ", show(largest)),
                "    ",
                style);
  }
  const auto route = input.routes.find(prompt);
  for (const char* list : {"sites", "parts"}) {
    const Json items = route == input.routes.end() ? Json() : route->second.value(list, Json());
    std::vector<LengthLine> lines;
    double largest = 0;
    for (const Json& item : items) {
      const Json norm = item.is_object() ? item.value("norm", Json()) : Json();
      if (!norm.is_number()) continue;
      largest = std::max(largest, norm.get<double>());
      lines.push_back({show_json(item.value("name", Json())),
                       norm.get<double>(),
                       "norm " + show(norm.get<double>())});
    }
    for (LengthLine& line : lines) line.length /= largest > 0 ? largest : 1;
    text += length_lines(lines, style);
  }
  if (text.empty()) return "";
  return painted("Where its perturbation sits", Paint::kBold, style) + "\n" + text;
}

// The defended features that moved most, row by row.
std::string drifting_features_part(const ReportInput& input,
                                   int64_t prompt,
                                   const TerminalStyle& style) {
  std::string text;
  for (const StoredResult& result : input.results) {
    if (result.prompt != prompt || !result.figures.is_object()) continue;
    std::vector<LengthLine> lines;
    double largest = 0;
    for (const Json& moved : result.figures.value("drift_by_feature", Json())) {
      const Json shift = moved.is_object() ? moved.value("shift", Json()) : Json();
      if (!shift.is_number() || !(shift.get<double>() > 0)) continue;
      largest = std::max(largest, shift.get<double>());
      const std::string name =
          concat(show_json(moved.value("site", Json())), " ", reading_name(input.summary, moved));
      lines.push_back({name, shift.get<double>(), show(shift.get<double>())});
    }
    if (lines.empty()) continue;
    for (LengthLine& line : lines) line.length /= largest;
    text += ascii_if_wished("  " + fit(spoken(result.row, style), style.width - 2), style) + "\n" +
            length_lines(lines, style);
  }
  if (text.empty()) return "";
  return painted("Which defended features moved most", Paint::kBold, style) + "\n" + text + "\n";
}

// Every so many of the points, so that they fit.
std::vector<double> thinned_out(const std::vector<double>& values, size_t most) {
  if (values.size() <= most) return values;
  std::vector<double> kept;
  for (size_t i = 0; i < most; ++i) kept.push_back(values[i * (values.size() - 1) / (most - 1)]);
  return kept;
}

std::string trace_lines(const std::vector<const TracePoint*>& points, const TerminalStyle& style) {
  std::string text;
  const auto add = [&](const char* name, const std::function<double(const TracePoint&)>& value) {
    std::vector<double> values;
    for (const TracePoint* point : points) values.push_back(value(*point));
    const std::string ends = concat(name, " ", show(values.front()), " → ", show(values.back()));
    double least = INFINITY;
    for (const double of : values) least = std::isfinite(of) ? std::min(least, of) : least;
    // From the least up, so that scores below 0 have a height, too.
    for (double& of : values) of = of - std::min(least, 0.0);
    const std::string line =
        sparkline(thinned_out(values, std::min(kMostTraceColumns, style.width - 4)), style);
    text += "    " + painted(line, Paint::kAttack, style) + "\n" + paragraph(ends, "    ", style);
  };
  add("objective", [](const TracePoint& point) { return point.objective; });
  add("drift", [](const TracePoint& point) { return point.drift_pre; });
  add("norm", [](const TracePoint& point) { return point.norm; });
  return text;
}

std::string steps_part(const ReportInput& input, int64_t prompt, const TerminalStyle& style) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<const TracePoint*>> by_row;
  for (const TracePoint& point : input.traces) {
    if (point.prompt != prompt) continue;
    if (by_row[point.row].empty()) order.push_back(point.row);
    by_row[point.row].push_back(&point);
  }
  const std::string title = painted("Steps of the search", Paint::kBold, style) + "\n";
  if (order.empty())
    return title + paragraph("Not recorded: that takes rebound audit --trace.", "  ", style);
  std::string text = title;
  for (const std::string& row : order) {
    text += ascii_if_wished("  " + fit(spoken(row, style), style.width - 2), style) + "\n" +
            trace_lines(by_row[row], style);
  }
  return text;
}

}  // namespace

std::string terminal_example(const ReportInput& input,
                             const std::string& id,
                             const TerminalStyle& wished,
                             const ReportOptions& options) {
  const TerminalStyle style = wished.within_limits();
  const StoredExample& example = find_example(input, id);
  return example_head(example, style) + example_text(example, style, options.show_text) + "\n" +
         outcomes_part(input, example.prompt, style, options.show_text) + "\n" +
         drifting_features_part(input, example.prompt, style) +
         places_part(input, example.prompt, style) + "\n" +
         steps_part(input, example.prompt, style);
}

}  // namespace rebound
