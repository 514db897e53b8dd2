#include "rebound/report/certificate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "rebound/report/figure.h"

namespace rebound {
namespace {

// What the constraint promises. Exact ones may move a feature by rounding: by kRounding, relative.
constexpr double kRounding = 1e-3;
enum class Promise { kExact, kSoft, kNone };

Promise promise_of(const std::string& constraint) {
  if (constraint == "encoder" || constraint == "encoder_decoder") return Promise::kExact;
  if (constraint.starts_with("forward_projection")) return Promise::kExact;
  if (constraint == "none" || constraint == "first_site") return Promise::kNone;
  return Promise::kSoft;
}

struct Worst {
  int64_t n = 0;
  double drift = kNotMeasured, generating = kNotMeasured, shift = kNotMeasured,
         violation = kNotMeasured;

  bool is_exact() const { return drift < kRounding && !(generating >= kRounding); }
};

void raise(double& worst, const Json& figures, const char* key) {
  const auto found = figures.find(key);
  if (found == figures.end() || !found->is_number()) return;
  const double value = std::abs(found->get<double>());
  worst = std::isnan(worst) ? value : std::max(worst, value);
}

std::map<std::string, Worst> worst_by_row(const ReportInput& input) {
  std::map<std::string, Worst> rows;
  for (const StoredResult& result : input.results) {
    if (!result.figures.is_object()) continue;
    Worst& worst = rows[result.row];
    ++worst.n;
    raise(worst.drift, result.figures, "drift_pre_rel");
    raise(worst.generating, result.figures, "drift_generation_rel");
    raise(worst.shift, result.figures, "drift_pre_linf");
    raise(worst.violation, result.figures, "constraint_violation");
  }
  std::erase_if(rows, [](const auto& row) { return std::isnan(row.second.drift); });
  return rows;
}

std::string outcome(Promise promise, const Worst& worst) {
  if (promise == Promise::kExact) return worst.is_exact() ? "held" : "NOT held";
  return promise == Promise::kSoft ? "softly" : "nothing to hold";
}

}  // namespace

Table certificate_table(const ReportInput& input) {
  Table table{.title = "",
              .columns = {{"#", true},
                          {"row"},
                          {"constraint"},
                          {"prompts", true},
                          {"worst drift", true},
                          {"while generating", true},
                          {"largest shift", true},
                          {"violation", true}},
              .rows = {},
              .note =
                  "Worst over all prompts, not means. Held: no defended pre-activation moves by "
                  "more than rounding "
                  "(relative drift below 0.001). Largest shift: of any one pre-activation. "
                  "Violation: what the "
                  "constraint itself reports."};
  const std::map<std::string, Worst> rows = worst_by_row(input);
  for (size_t i = 0; i < input.summary.rows.size(); ++i) {
    const RowSummary& row = input.summary.rows[i];
    const auto found = rows.find(row.name);
    if (!row.is_attack() || found == rows.end() || row.threat_model == "input") continue;
    const Worst& worst = found->second;
    table.rows.push_back({std::to_string(i + 1),
                          row.name,
                          outcome(promise_of(row.constraint), worst),
                          std::to_string(worst.n),
                          show(worst.drift),
                          show(worst.generating),
                          show(worst.shift),
                          show(worst.violation)});
  }
  return table;
}

std::string certificate_text(const ReportInput& input) {
  const std::map<std::string, Worst> rows = worst_by_row(input);
  int64_t n_rows = 0, n_held = 0;
  double worst = 0;
  for (const RowSummary& row : input.summary.rows) {
    const auto found = rows.find(row.name);
    if (!row.is_attack() || found == rows.end() || promise_of(row.constraint) != Promise::kExact)
      continue;
    ++n_rows;
    n_held += found->second.is_exact();
    worst = std::max(worst, found->second.drift);
  }
  if (n_rows == 0) return "";
  return concat(
      "Of ",
      n_rows,
      " rows whose constraint is exact, ",
      n_held,
      " hold it on every prompt: the defended features stay where the defence put them, with a "
      "largest relative drift of ",
      show(worst),
      ".");
}

}  // namespace rebound
