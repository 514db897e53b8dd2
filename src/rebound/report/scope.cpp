#include "rebound/report/scope.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "rebound/report/figure.h"

namespace rebound {
namespace {

// In the order of the rows.
template <class Name>
std::vector<std::string> distinct(const AuditSummary& summary, bool attacks, const Name& name) {
  std::vector<std::string> names;
  for (const RowSummary& row : summary.rows) {
    if (row.is_attack() != attacks) continue;
    const std::string one = name(row);
    if (!one.empty() && std::find(names.begin(), names.end(), one) == names.end())
      names.push_back(one);
  }
  return names;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return text;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> budgets(const AuditSummary& summary) {
  std::set<double> values;
  for (const RowSummary& row : summary.rows) {
    if (row.is_attack() && std::isfinite(row.budget)) values.insert(row.budget);
  }
  std::vector<std::string> names;
  for (const double value : values) names.push_back(show(value));
  return names;
}

Json member(const Json& object, const char* key) {
  return object.is_object() ? object.value(key, Json()) : Json();
}

std::string flips_line(const AuditSummary& summary) {
  const Json broken = member(summary.extra, "n_valid_broken");
  const bool is_any_broken = broken.is_number_integer() && broken.get<int64_t>() > 0;
  return concat(summary.n_valid,
                " valid flips of ",
                summary.n_prompts,
                " prompts",
                is_any_broken ? concat(" (",
                                       broken.get<int64_t>(),
                                       " more were broken, not defended, and are left out)")
                              : "");
}

std::string recheck_line(const AuditSummary& summary) {
  int64_t checked = 0, other = 0;
  for (const RowSummary& row : summary.rows) {
    const Json n = member(row.extra, "rechecked_float32"),
               m = member(row.extra, "disagreements_float32");
    if (n.is_number_integer()) checked += n.get<int64_t>();
    if (m.is_number_integer()) other += m.get<int64_t>();
  }
  if (checked == 0) return "";
  return concat("each attack scored again by an uncached float32 pass: ",
                other,
                " of ",
                checked,
                " come out otherwise");
}

std::vector<std::string> tested_lines(const ReportInput& input) {
  const AuditSummary& summary = input.summary;
  const auto constraints =
      distinct(summary, true, [](const RowSummary& row) { return row.constraint; });
  const auto threats =
      distinct(summary, true, [](const RowSummary& row) { return words(row.threat_model); });
  const auto controls =
      distinct(summary, false, [](const RowSummary& row) { return words(*row.control); });
  std::vector<std::string> lines = {flips_line(summary)};
  if (!constraints.empty()) lines.push_back("attacks under the constraints " + listed(constraints));
  if (!threats.empty()) lines.push_back("threat models: " + listed(threats));
  if (!budgets(summary).empty()) lines.push_back("norms up to " + listed(budgets(summary)));
  const Json positions = member(member(input.spec, "perturb"), "positions");
  if (!positions.is_null()) lines.push_back("perturbed positions: " + show_json(positions));
  if (!controls.empty()) lines.push_back("controls: " + listed(controls));
  if (!recheck_line(summary).empty()) lines.push_back(recheck_line(summary));
  return lines;
}

std::string missing_controls(const AuditSummary& summary) {
  const auto present = distinct(summary, false, [](const RowSummary& row) { return *row.control; });
  const RowSummary* headline = headline_row(summary);
  const bool has_missed_none =
      headline && headline->n_valid > 0 && headline->recovered == headline->n_valid;
  std::vector<std::string> missing;
  for (const std::string& control : kControls) {
    if (has(present, control) || (control == "power" && has_missed_none)) continue;
    missing.push_back(words(control));
  }
  return missing.empty() ? "" : "no control: " + listed(missing);
}

std::vector<std::string> untested_lines(const ReportInput& input) {
  const AuditSummary& summary = input.summary;
  std::vector<std::string> lines;
  const auto threats =
      distinct(summary, true, [](const RowSummary& row) { return row.threat_model; });
  const auto scopes = distinct(summary, true, [](const RowSummary& row) { return row.scope; });
  const auto goals = distinct(summary, true, [](const RowSummary& row) { return row.objective; });
  lines.push_back(is_about_answers(input)
                      ? "answers as people read them: detectors judged them"
                      : "generated text: only the score of the next token counts here");
  if (!has(threats, "before_clamp") && !is_about_answers(input))
    lines.push_back("perturbations before the clamp");
  if (!has(threats, "input")) lines.push_back("attackers at the input, who can only write text");
  if (!has(scopes, "shared"))
    lines.push_back("one perturbation for all prompts: whether a route carries over is open");
  if (!has(goals, "minimal_budget")) lines.push_back("the smallest norm that would do");
  if (!missing_controls(summary).empty()) lines.push_back(missing_controls(summary));
  if (member(summary.controls, "utility").is_null())
    lines.push_back("what the defence costs on harmless text");
  if (!summary.attribution.is_object() || summary.attribution.empty())
    lines.push_back("which way the perturbation travels");
  lines.push_back(
      "other prompts, models and SAEs, larger norms, changed weights, attacks that nobody here "
      "thought of");
  return lines;
}

}  // namespace

Scope scope_of(const ReportInput& input) { return {tested_lines(input), untested_lines(input)}; }

const RowSummary* headline_row(const AuditSummary& summary) {
  const Json name = member(summary.headline, "row");
  for (const RowSummary& row : summary.rows) {
    if (name.is_string() && row.name == name.get<std::string>()) return &row;
  }
  for (const RowSummary& row : summary.rows) {
    if (row.is_attack()) return &row;
  }
  return nullptr;
}

bool is_about_answers(const ReportInput& input) {
  return std::any_of(input.summary.rows.begin(),
                     input.summary.rows.end(),
                     [](const RowSummary& row) { return row.objective == "answer"; });
}

std::string meaning_of_verdict(const std::string& verdict) {
  if (verdict == "undetermined") return "There is too little evidence to say anything.";
  if (verdict.starts_with("bottleneck"))
    return "Within this budget the search found no way around the defence.";
  if (verdict == "handle") {
    return "The behaviour comes back while the defence holds, and it does so more easily than "
           "other things can be written: one "
           "route to it was closed, and it is still there.";
  }
  if (verdict == "non-specific") {
    return "The behaviour comes back while the defence holds, but for the way there is to go other "
           "things are written as cheaply: that is no evidence that this behaviour in particular "
           "survived.";
  }
  if (verdict == "partial")
    return "What would decide was not measured, or what comes back is not clearly more than random "
           "directions bring back.";
  return "";
}

}  // namespace rebound
