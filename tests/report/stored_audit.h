// small_audit with results of every kind: attack, draws, injections, searches for minimal budgets,
// steps, positions, the route of an example.
#pragma once

#include "report/small_audit.h"

namespace rebound {

inline RowSummary stored_row(const std::string& name,
                             const std::string& constraint,
                             const std::string& objective) {
  RowSummary row = small_row(constraint, 2, 1e-7);
  row.name = name;
  row.objective = objective;
  row.n_valid = 2;
  return row;
}

inline StoredResult stored_result(
    const std::string& row, int64_t prompt, bool recovered, double score, const Json& figures) {
  return {.row = row,
          .prompt = prompt,
          .recovered = recovered,
          .score = score,
          .recheck_score = score,
          .steps = 3,
          .seconds = 0.5,
          .termination = "goal",
          .figures = figures};
}

// Prompts 0 (flip), 1 (flip), 2 (no flip). Rows: attack, minimal, random, inject.
inline ReportInput stored_audit() {
  ReportInput input = small_audit();
  input.summary.rows = {stored_row("attack@20", "encoder", "logit_diff"),
                        stored_row("minimal@20", "encoder", "minimal_budget"),
                        stored_row("random@20", "encoder", "logit_diff"),
                        stored_row("inject@20", "encoder", "minimal_budget")};
  input.summary.rows[2].control = "random";
  input.summary.rows[3].control = "inject";
  input.summary.rows[3].target = "unrelated";
  input.summary.headline = {{"row", "attack@20"}};
  input.examples.clear();
  for (int64_t i = 0; i < 3; ++i) {
    input.examples.push_back({.prompt = i,
                              .id = concat("p-", i),
                              .text = "secret prompt",
                              .ids = {7, 8},
                              .correct = " Mary",
                              .wrong = " John",
                              .base_score = 4.56789,
                              .defended_score = i < 2 ? -1.0 : 2.0,
                              .is_valid = i < 2,
                              .extra = {{"cluster", i}}});
  }
  const auto drift = [](double rel) {
    return Json{{"drift_pre_rel", rel}, {"drift_pre_linf", 2 * rel}, {"norm", 20.0}};
  };
  input.results = {
      stored_result("attack@20", 0, true, 3.0, drift(1e-7)),
      stored_result("attack@20", 1, false, -0.5, drift(4e-7)),
      stored_result("minimal@20", 0, true, -1, {{"gap", 1.0}, {"minimal_budget", 2.0}}),
      stored_result("minimal@20", 1, false, -1, {{"gap", 2.0}, {"minimal_budget", nullptr}})};
  for (const char* draw : {"draw 0", "draw 1"}) {
    input.results.push_back(stored_result("random@20", 0, draw[5] == '1', -1.5, drift(1e-7)));
    input.results.back().variant = draw;
  }
  for (const char* target : {"0: Victor", "1: Wendy"}) {
    input.results.push_back(
        stored_result("inject@20",
                      0,
                      true,
                      -6,
                      {{"gap", 6.0}, {"minimal_budget", target[0] == '0' ? 3.0 : 9.0}}));
    input.results.back().variant = target;
  }
  input.traces = {
      {.prompt = 0, .row = "attack@20", .step = 0, .objective = 1.5, .drift_pre = 0, .norm = 0},
      {.prompt = 0,
       .row = "attack@20",
       .step = 1,
       .objective = 0.5,
       .drift_pre = 1e-7,
       .norm = 0.1}};
  input.positions = {{"attack@20", 0, {3.0, 4.0}}};
  input.routes[0] = {{"parts", {{{"name", "other features"}, {"norm", 2.0}, {"shapley", 0.4}}}},
                     {"sites", Json::array()}};
  return input;
}

}  // namespace rebound
